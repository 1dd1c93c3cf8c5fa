"""`flagctl init`: the first trust. `db new-epoch`: revisions mean something else from now on."""

from pathlib import Path

from sqlalchemy import insert, select, text

from core.auth import tokens
from core.auth.actor import Role
from core.errors import ConflictError
from core.models import Installation, Issuer, IssuerKey
from core.services.change import Change
from core.services.key_files import KeyFile, key_file
from core.services.members import give_role

AUDIENCE = "flagctl"


def initialise(change: Change, admin_email: str, *, key_folder: Path | None = None) -> KeyFile:
    """Make a key pair, trust its public half, keep its private half, create the first admin.

    Raises ConflictError when the installation has an issuer already.
    """
    session = change.session
    if session.execute(select(Issuer.id).where(Issuer.built_in)).first():
        raise ConflictError(
            "this installation is set up already",
            hint="`flagctl token issue EMAIL --as-owner` gives a new token",
        )
    installation = installation_id(change)
    issuer_id = session.execute(
        insert(Issuer)
        .values(issuer=f"urn:flagctl:{installation}", audience=AUDIENCE, built_in=True)
        .returning(Issuer.id)
    ).scalar_one()
    private_key, public_key = tokens.generate_key_pair()
    session.execute(
        insert(IssuerKey).values(
            issuer_id=issuer_id,
            key_id=tokens.key_id_of(public_key),
            modulus=tokens.modulus_of(public_key),
        )
    )
    give_role(change, admin_email, Role.ADMIN)
    file = key_file(installation, key_folder)
    file.write(private_key)
    return file


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
