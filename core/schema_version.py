"""The schema that this release writes to; any other may mean something else by the same columns."""

from typing import Final

from core.errors import UnavailableError

# The newest migration. Here, since every write asks, and Alembic takes long to import.
NEWEST: Final = "0005"


def check(found: str | None) -> None:
    """Raise UnavailableError unless a database at this version is one to write to."""
    if found is not None and found > NEWEST:
        raise UnavailableError(
            f"this flagctl is older than the database: it writes to schema {NEWEST},"
            f" the database is at {found}",
            hint="install the release of flagctl that upgraded the database",
        )
    if found != NEWEST:
        raise UnavailableError(
            f"this flagctl is newer than the database: it writes to schema {NEWEST},"
            f" the database is at {found or 'none'}",
            hint="run `flagctl db upgrade` with the owner's address",
        )
