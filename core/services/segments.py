"""Segments: named conditions that rules share."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, insert, select, update

from core.auth.actor import Permission, allows, needed
from core.errors import ConflictError, ForbiddenError
from core.json_text import JsonValue
from core.lookups import environments, find_segment
from core.models import Segment
from core.names import check_new_key, check_text
from core.segment_uses import uses_of
from core.services.change import Change
from core.services.segment_conditions import check_segment


@dataclass(frozen=True, slots=True)
class Edit:
    """What to change; None leaves it."""

    condition: JsonValue = None
    description: str | None = None


def create_segment(change: Change, key: str, condition: JsonValue, description: str = "") -> None:
    session = change.session
    _require_where_used(change, key)
    check_new_key(key, noun="segment", pattern=session.key_pattern)
    existing = session.execute(
        select(Segment.id).where(
            Segment.organization_id == session.organization_id, Segment.key == key
        )
    ).one_or_none()
    if existing is not None:
        raise ConflictError(f"the segment {key!r} exists already")
    change.expect(0, what=f"the version of {key} (which does not exist)")
    check_segment(change, key, condition)
    session.execute(
        insert(Segment).values(
            organization_id=session.organization_id,
            key=key,
            condition=condition,
            description=check_text(description, what="the description"),
        )
    )


def update_segment(change: Change, key: str, edit: Edit) -> None:
    segment = _existing(change, key)
    values: dict[str, Any] = {}
    if edit.condition is not None:
        check_segment(change, key, edit.condition)
        values["condition"] = edit.condition
    if edit.description is not None:
        values["description"] = check_text(edit.description, what="the description")
    change.session.execute(update(Segment).where(Segment.id == segment.id).values(**values))


def delete_segment(change: Change, key: str) -> None:
    """Raises ConflictError that names the users of one that is used."""
    segment = _existing(change, key)
    users = [str(use) for use in uses_of(change.session, key)]
    if users:
        raise ConflictError(
            f"the segment {key!r} is used by {', '.join(users)}", hint="first change those"
        )
    change.session.execute(delete(Segment).where(Segment.id == segment.id))


def _existing(change: Change, key: str) -> Any:
    segment = find_segment(change.session, key)
    _require_where_used(change, key)
    change.expect(segment.version, what=f"the version of {key}")
    return segment


def _require_where_used(change: Change, key: str) -> None:
    """In each environment that it reaches; and somewhere, if it reaches none."""
    reached = {use.environment for use in uses_of(change.session, key) if use.environment}
    rows = [row for row in environments(change.session) if row.key in reached]
    if rows:
        change.require(Permission.EDIT, in_environments=rows)
    elif not any(allows(grant.role, Permission.EDIT) for grant in change.session.actor.grants):
        raise ForbiddenError(
            f"{change.session.actor.name} may not do this: it needs the role "
            f"{needed(Permission.EDIT)}, somewhere"
        )
