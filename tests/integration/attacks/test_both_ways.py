"""A token that Postgres remembers takes a shorter way: it must lead where the long one leads, or
nowhere, and then the long one decides."""

from typing import Any

import psycopg
import pytest

from core.settings import Secret
from tests.integration.attacks.issuers import URL, add_member, minted, trust
from tests.support.grounds import Ground
from tests.support.openid_issuers import rsa_key
from tests.support.raw_sql import begin, outcome

# What can happen to a remembered token, by whoever may do anything.
EVENTS = [
    "SELECT 1",
    "UPDATE flagctl.tokens SET revoked_at = now()",
    "UPDATE flagctl.tokens SET expires_at = expires_at + interval '1 day'",
    "UPDATE flagctl.tokens SET subject = 'other'",
    "UPDATE flagctl.tokens SET organization_id = 3 - organization_id",
    "UPDATE flagctl.tokens SET jti = gen_random_uuid()",
    "UPDATE flagctl.issuer_keys SET revoked_at = now()",
    "UPDATE flagctl.issuer_keys SET expires_at = now()",
    "UPDATE flagctl.issuer_keys SET expires_at = now() + interval '1 day'",
    "UPDATE flagctl.issuer_keys SET key_id = 'other'",
    "UPDATE flagctl.issuer_keys SET modulus = set_byte(modulus, 9, 255 - get_byte(modulus, 9))",
    "UPDATE flagctl.issuers SET audience = 'other'",
    "UPDATE flagctl.issuers SET issuer = issuer || 'x'",
    "UPDATE flagctl.issuers SET max_lifetime_seconds = 1",
    "DELETE FROM flagctl.members",
    "UPDATE flagctl.members SET subject = subject || 'x'",
    "UPDATE flagctl.members SET role = 'viewer'",
    "UPDATE flagctl.members SET email = 'other'",
    "UPDATE flagctl.members SET organization_id = 3 - organization_id",
    "INSERT INTO flagctl.members (organization_id, issuer_id, subject, email, environment_id, role)"
    " SELECT m.organization_id, m.issuer_id, m.subject, 'again', e.id, 'editor'"
    " FROM flagctl.members m JOIN flagctl.environments e USING (organization_id)"
    " WHERE m.subject IS NOT NULL AND m.environment_id IS NULL",
    "INSERT INTO flagctl.members (organization_id, issuer_id, claims, email, role)"
    " SELECT 1, id, jsonb_build_object('iss', issuer), 'all', 'editor' FROM flagctl.issuers",
    "INSERT INTO flagctl.members (organization_id, issuer_id, claims, email, role)"
    " SELECT 1, id, jsonb_build_object('iss', 'other'), 'none', 'admin' FROM flagctl.issuers",
    "UPDATE flagctl.organizations SET key = key || 'x', key_pattern = 'x'",
    "UPDATE flagctl.verified_tokens SET claims = claims || jsonb_build_object('exp',"
    " extract(epoch FROM now())::bigint - 31)",
    "UPDATE flagctl.verified_tokens SET claims = claims || jsonb_build_object('iat',"
    " extract(epoch FROM now())::bigint + 40)",
    "UPDATE flagctl.verified_tokens SET claims = claims || jsonb_build_object('nbf',"
    " extract(epoch FROM now())::bigint + 40)",
    "UPDATE flagctl.verified_tokens SET claims = claims || jsonb_build_object('nbf',"
    " extract(epoch FROM now())::bigint + 20)",
    'UPDATE flagctl.verified_tokens SET claims = claims || \'{"aud": ["flagctl"]}\'',
    "DELETE FROM flagctl.verified_tokens",
]
_SHORT = "SELECT flagctl.remembered_actor(%s, %s)"
_SET = (
    "SELECT flagctl.set_flag(%(t)s, %(o)s, NULL, 'x', %(f)s, 'dev',"
    " jsonb_build_object('enabled', true), NULL)"
)

_LONG = "SELECT flagctl.actor_of(flagctl.verify_token(%(t)s, %(o)s), %(o)s)"
_OF_THE_CHANGE = {"change_id", "is_locked", "schema_version"}


def test_both_ways_lead_to_the_same_actor(own_ground: Ground) -> None:
    key = rsa_key("one")
    for organization in (1, 2):
        trust(own_ground, organization, key)
        add_member(own_ground, organization, "boss", "admin")
    tokens = [
        *(own_ground.admin, own_ground.viewer, own_ground.editor_of_dev, own_ground.foreign_admin),
        minted(key, "boss"),
    ]
    for token in tokens:
        for name in ("default", "acme"):
            _remember(own_ground, token, name)
    login = f"{own_ground.installation.prefix}_admin_login"
    with own_ground.connect("superuser") as connection:
        connection.execute("SET session_replication_role = replica")  # no trigger is in the way
        connection.commit()
        answers = [_ask(connection, event, token, login) for event in EVENTS for token in tokens]
    found = [answer for part in answers for answer in part]
    assert all(short in (None, long) for short, long, _ in found)
    assert all(written in (None, long) for _, long, written in found)
    assert {long for _, long, _ in found if isinstance(long, str)} == {"FC002", "FC003", "FC004"}
    # Undisturbed it is taken, wherever there is one organization to act for.
    undisturbed = [answer for part in answers[: len(tokens)] for answer in part]
    refused = [long for short, long, _ in undisturbed if short is None]
    assert sorted(refused) == ["FC002", *["FC004"] * 4]  # in two organizations, or not in this one
    # A write at once is for whoever may edit, in the organization where the token acted first.
    left = [short for short, _, written in undisturbed if short is not None and written is None]
    assert {(actor["grants"][0]["role"], actor["organization"]) for actor in left} == {
        ("viewer", "default"),
        ("admin", "acme"),  # who belongs to both
    }


def _remember(ground: Ground, token: Secret, organization: str) -> None:
    with ground.connect() as connection:
        outcome(
            connection,
            "SELECT flagctl.begin_change(%s, %s, NULL, 'x')",
            [token.reveal(), organization],
        )
        connection.commit()


def _ask(
    connection: psycopg.Connection[Any], event: str, token: Secret, login: str
) -> list[tuple[Any, Any, Any]]:
    """Where the ways lead after the event, and a write at once, with and without an organization.
    Of a write it is whom it was done for, None where it was not done."""
    connection.execute(event.encode())
    found = []
    for organization in (None, "default", "acme"):
        parameters = {"t": token.reveal(), "o": organization}
        short = connection.execute(_SHORT, [token.reveal(), organization]).fetchone()
        try:
            with connection.transaction():
                long = connection.execute(_LONG, parameters).fetchone()
        except psycopg.Error as error:
            long = (error.sqlstate,)
        assert short is not None
        assert long is not None
        found.append((short[0], long[0], _written(connection, login, parameters)))
    connection.rollback()
    return found


def _written(connection: psycopg.Connection[Any], login: str, parameters: dict[str, Any]) -> Any:
    """For whom, of the two flags, one was set: the transaction is as before afterwards."""
    for flag in ("checkout", "theirs"):
        try:
            with connection.transaction() as undone:
                connection.execute(f"SET LOCAL SESSION AUTHORIZATION {login}".encode())
                row = connection.execute(_SET, parameters | {"f": flag}).fetchone()
                raise psycopg.Rollback(undone)
        except psycopg.Error as error:
            return error.sqlstate
        assert row is not None
        if "outcome" in row[0]:
            change: dict[str, Any] = row[0]["change"]
            return {name: change[name] for name in change if name not in _OF_THE_CHANGE}
    return None


def test_a_token_of_two_organizations_is_asked_which(own_ground: Ground) -> None:
    """Also when it is remembered."""
    key = rsa_key("two")
    for organization in (1, 2):
        trust(own_ground, organization, key)
        add_member(own_ground, organization, "boss")
    token = minted(key, "boss")
    for _ in range(2):
        with own_ground.connect() as connection:
            with pytest.raises(psycopg.Error, match="several organizations"):
                begin(connection, token)
            connection.rollback()
            assert begin(connection, token, "acme")["actor"] == f"{URL}#boss"
            connection.commit()
