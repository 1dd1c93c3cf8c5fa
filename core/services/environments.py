"""Environments: made, described, protected, deleted with what is in them."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select, update

from core.auth.actor import Permission
from core.errors import ConflictError, InvalidInputError
from core.lookups import find_environment
from core.models import ApiKey, ConfigValue, Environment, Member, Override
from core.names import check_environment_key, check_text
from core.services.change import Change

_HELD: tuple[tuple[Any, str], ...] = (
    (Override, "flag states"),
    (ConfigValue, "config values"),
    (ApiKey, "API keys"),
    (Member, "member roles"),
)


@dataclass(frozen=True, slots=True)
class Edit:
    """What to change; None leaves a field as it is. `confirm` asks before each write there."""

    description: str | None = None
    confirm: bool | None = None


def create_environment(
    change: Change, key: str, *, description: str = "", confirm: bool = False
) -> None:
    session = change.session
    change.require(Permission.GOVERN)
    check_environment_key(key)
    taken = select(Environment.id).where(
        Environment.organization_id == session.organization_id, Environment.key == key
    )
    if session.execute(taken).first():
        raise ConflictError(f"the environment {key!r} exists already")
    change.expect(0, what=f"the revision of {key} (which does not exist)")
    session.execute(
        insert(Environment).values(
            organization_id=session.organization_id,
            key=key,
            description=check_text(description, what="the description"),
            confirm=confirm,
        )
    )


def update_environment(change: Change, key: str, edit: Edit) -> None:
    environment = find_environment(change.session, key)
    change.require(Permission.ADMINISTER, in_environments=[environment])
    change.expect(environment.revision, what=f"the revision of {key}")
    values: dict[str, Any] = {}
    if edit.description is not None:
        values["description"] = check_text(edit.description, what="the description")
    if edit.confirm is not None:
        values["confirm"] = edit.confirm
    if not values:
        raise InvalidInputError(
            "nothing to change is named", hint="see `flagctl env update --help`"
        )
    change.confirm(environment.confirm and edit.confirm is False, f"{key} is protected")
    change.session.execute(
        update(Environment).where(Environment.id == environment.id).values(**values)
    )


def delete_environment(change: Change, key: str) -> None:
    """With everything in it. Asks back when there is anything; its API keys stop working."""
    session = change.session
    change.require(Permission.GOVERN)
    environment = find_environment(session, key)
    change.expect(environment.revision, what=f"the revision of {key}")
    held = [
        f"{count} {noun}"
        for model, noun in _HELD
        if (
            count := session.execute(
                select(func.count()).where(model.environment_id == environment.id)
            ).scalar_one()
        )
    ]
    change.confirm(bool(held), f"{key} still has {', '.join(held)}")
    change.confirm(environment.confirm, f"{key} is protected")
    for model, _ in _HELD:
        session.execute(delete(model).where(model.environment_id == environment.id))
    session.execute(delete(Environment).where(Environment.id == environment.id))
