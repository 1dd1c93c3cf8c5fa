"""Issuers that organizations trust, as rows; and tokens that whoever has their keys can sign."""

from typing import Any

from cryptography.hazmat.primitives import serialization

from core import clock
from core.auth import tokens
from core.settings import Secret
from tests.support.grounds import Ground
from tests.support.openid_issuers import Key

URL = "https://id.example.com"
AUDIENCE = "flagctl"


def trust(ground: Ground, organization: int, key: Key, *, key_id: str = "k") -> None:
    """Have an organization trust this key of the issuer, as the keepers of trust do."""
    made = ground.installation
    made.govern(
        "INSERT INTO flagctl.issuers (organization_id, issuer, audience)"
        " VALUES (%(o)s, %(u)s, %(a)s)",
        "INSERT INTO flagctl.issuer_keys (issuer_id, key_id, modulus) SELECT id, %(k)s, %(m)s"
        " FROM flagctl.issuers WHERE organization_id = %(o)s AND issuer = %(u)s",
        parameters={
            "o": organization,
            "u": URL,
            "a": AUDIENCE,
            "k": key_id,
            "m": key.modulus.to_bytes((key.modulus.bit_length() + 7) // 8),
        },
    )


def add_member(ground: Ground, organization: int, subject: str, role: str = "viewer") -> None:
    ground.installation.run(
        "DO $$BEGIN PERFORM flagctl.begin_owner_change((SELECT key FROM flagctl.organizations"
        f" WHERE id = {organization}), NULL, 'test');"
        " INSERT INTO flagctl.members (organization_id, issuer_id, subject, email, role)"
        f" SELECT {organization}, id, '{subject}', '{subject}', '{role}' FROM flagctl.issuers"
        f" WHERE organization_id = {organization}; END$$"
    )


def minted(key: Key, subject: str, *, key_id: str = "k", **changed: Any) -> Secret:
    """A token of the issuer; `changed` claims replace its own, None takes one away."""
    now = int(clock.now().timestamp())
    claims = {"iss": URL, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 600} | changed
    pem = key.private.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    shown = {name: value for name, value in claims.items() if value is not None}
    return Secret(tokens.sign(shown, pem.decode(), key_id))
