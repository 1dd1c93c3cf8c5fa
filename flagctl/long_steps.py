"""Steps of several commands that may take long, each with its bar."""

from typing import TYPE_CHECKING

from flagctl import output, progress

if TYPE_CHECKING:
    from core.services.openid.key_sets import KeySet
    from core.services.schema import Status
    from flagctl.state import State


def upgraded(here: "State") -> "Status":
    """Bring the schema to this release; the status from before."""
    from core.services.schema import upgrade

    with progress.bar("upgrading") as bar:
        return upgrade(
            here.settings.require("owner_database_url"),
            prefix=here.settings.role_prefix,
            watch=lambda done, total, step: bar.at(done, what=step, total=total),
        )


def fetched(issuer: str, jwks_url: str | None = None) -> "KeySet":
    """The keys that an issuer shows; it may take its time to be silent."""
    from core.services.openid.key_sets import fetch_keys
    from core.services.openid.transport import Transport

    with progress.bar(f"asking {output.printable(issuer)}"):
        return fetch_keys(issuer, Transport(), jwks_url=jwks_url)
