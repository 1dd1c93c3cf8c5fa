"""`flagctl init`: the first trust. `db new-epoch`: revisions mean something else from now on."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import insert, select, text

from core.auth import tokens
from core.auth.actor import Role
from core.errors import ConflictError
from core.models import Installation, Issuer, IssuerKey
from core.services.change import Change
from core.services.identities import Identity
from core.services.issuers import TrustedIssuer, add_issuer
from core.services.key_files import KeyFile, key_file
from core.services.members import give_role
from core.services.signing_keys import ISSUER_PREFIX
from core.settings import Secret

if TYPE_CHECKING:
    from core.services.openid.key_sets import KeySet

AUDIENCE = "flagctl"


def initialise(
    change: Change,
    admin_email: str,
    *,
    key_folder: Path | None = None,
    passphrase: Secret | None = None,
) -> KeyFile:
    """Make a key pair, trust its public half, keep its private half, create the first admin.

    Raises ConflictError when the installation has an issuer already.
    """
    issuer_id = _make_issuer(change)
    private_key, public_key = tokens.generate_key_pair()
    change.session.execute(
        insert(IssuerKey).values(
            issuer_id=issuer_id,
            key_id=tokens.key_id_of(public_key),
            modulus=tokens.modulus_of(public_key),
        )
    )
    give_role(change, admin_email, Role.ADMIN)
    file = key_file(installation_id(change), key_folder, passphrase)
    file.write(private_key)
    return file


def initialise_without_key(
    change: Change, admin_email: str, *, issuer: TrustedIssuer, subject: str, keys: "KeySet"
) -> None:
    """The same with an issuer of the company's own: nothing here can sign a token."""
    _make_issuer(change)
    add_issuer(change, issuer, keys)
    give_role(change, admin_email, Role.ADMIN, identity=Identity(issuer.issuer, subject))


def _make_issuer(change: Change) -> int:
    """flagctl's own, which may have no key yet."""
    session = change.session
    if session.execute(select(Issuer.id).where(Issuer.built_in)).first():
        raise ConflictError(
            "this installation is set up already",
            hint="`flagctl token issue EMAIL --as-owner` gives a new token",
        )
    return int(
        session.execute(
            insert(Issuer)
            .values(
                issuer=f"{ISSUER_PREFIX}{installation_id(change)}", audience=AUDIENCE, built_in=True
            )
            .returning(Issuer.id)
        ).scalar_one()
    )


def installation_id(change: Change) -> str:
    return str(change.session.execute(select(Installation.id)).scalar_one())


def new_epoch(change: Change) -> int:
    """For what Postgres cannot see, as a restored dump. Readers drop every older copy."""
    return int(
        change.session.execute(
            text(
                "UPDATE flagctl.installation SET epoch_generation = epoch_generation + 1"
                " RETURNING epoch_generation"
            )
        ).scalar_one()
    )
