"""What usage is counted of: an environment's random id, and the flags there."""

from dataclasses import dataclass

from sqlalchemy import select

from core.lookups import find_environment, find_flag
from core.models import Flag
from core.sessions import Session


@dataclass(frozen=True, slots=True)
class Counted:
    """`flags` have the names of their variants, by key, in order."""

    environment: str
    environment_id: str
    flags: dict[str, list[str]]


def counted(session: Session, environment_key: str, key: str | None = None) -> Counted:
    """All flags that are not archived, or the one. Raises NotFoundError."""
    environment = find_environment(session, environment_key)
    if key is not None:
        flags = {key: list(find_flag(session, key).variants)}
    else:
        rows = session.execute(
            select(Flag.key, Flag.variants)
            .where(Flag.organization_id == session.organization_id, Flag.archived_at.is_(None))
            .order_by(Flag.key)
        )
        flags = {row.key: list(row.variants) for row in rows}
    return Counted(environment.key, environment.public_id, flags)
