"""Organizations: a tenant each. Made and archived by the owner; the rest is its admins'."""

from dataclasses import replace
from typing import Any

from sqlalchemy import insert, select, update

from core import clock
from core.auth.actor import Permission, Role
from core.errors import ConflictError, InvalidInputError, NotFoundError
from core.models import Environment, Organization
from core.names import check_environment_key, check_pattern, check_text, closest
from core.services.change import Change
from core.services.members import give_role

_ENVIRONMENTS = ("dev", "staging", "prod")


def create_organization(change: Change, key: str, *, name: str, admin_email: str) -> None:
    """With its first environments and its first admin. The owner's change is of any organization.

    Raises ConflictError when there is one with this key, archived ones too.
    """
    check_environment_key(key, noun="organization")
    if change.session.execute(select(Organization.id).where(Organization.key == key)).first():
        raise ConflictError(f"the organization {key!r} exists already")
    new_id = change.session.execute(
        insert(Organization).values(key=key, name=_name(name or key)).returning(Organization.id)
    ).scalar_one()
    inside = _inside(change, new_id, key)
    inside.session.execute(
        insert(Environment), [{"organization_id": new_id, "key": key} for key in _ENVIRONMENTS]
    )
    give_role(inside, admin_email, Role.ADMIN)


def update_organization(
    change: Change, *, name: str | None = None, key_pattern: str | None = None
) -> None:
    """`key_pattern` is a regular expression that whole new keys must match."""
    change.require(Permission.GOVERN)
    change.expect_log()
    values: dict[str, str] = {}
    if name is not None:
        values["name"] = _name(name)
    if key_pattern is not None:
        values["key_pattern"] = check_pattern(key_pattern)
    if not values:
        raise InvalidInputError(
            "nothing to change is named", hint="see `flagctl org update --help`"
        )
    _update(change, change.session.organization_id, values)


def archive_organization(change: Change, key: str) -> None:
    """Nothing of it is served any more, and nothing in it can be changed; its history stays."""
    row = _existing(change, key)
    if row.archived_at is None:
        change.confirm(needed=True, message=f"every API key of {key} stops working")
        _update(change, row.id, {"archived_at": clock.now()})


def unarchive_organization(change: Change, key: str) -> None:
    _update(change, _existing(change, key).id, {"archived_at": None})


def _existing(change: Change, key: str) -> Any:
    rows = change.session.execute(
        select(Organization.id, Organization.key, Organization.archived_at)
    ).all()
    found = next((row for row in rows if row.key == key), None)
    if found is None:
        raise NotFoundError(
            f"there is no organization {key!r}",
            hint=closest(key, [row.key for row in rows]) or "see `flagctl org list --as-owner`",
        )
    return found


def _inside(change: Change, organization_id: int, key: str) -> Change:
    """The same open change, seen from the new organization."""
    session = replace(change.session, organization_id=organization_id, organization=key)
    return replace(change, session=session)


def _name(name: str) -> str:
    if not name.strip():
        raise InvalidInputError("the name is empty")
    return check_text(name, what="the name", at_most=255)


def _update(change: Change, organization_id: int, values: dict[str, Any]) -> None:
    change.session.execute(
        update(Organization).where(Organization.id == organization_id).values(**values)
    )
