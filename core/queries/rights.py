"""Who may do what, for `can-i` and `who-can`: answered from the table of actions."""

from dataclasses import dataclass

from sqlalchemy import select

from core.auth.actions import ACTIONS, Action, Scope, is_allowed
from core.auth.actor import Grant, Permission, Role, needed
from core.errors import InvalidInputError
from core.lookups import environments, find_environment
from core.models import Issuer, Member
from core.names import closest
from core.sessions import Session


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody who may; `issuer` tells apart who has the same name at several."""

    member: str
    issuer: str
    roles: tuple[str, ...]


def find_action(name: str) -> Action:
    """Raises InvalidInputError with the closest matches."""
    if name in ACTIONS:
        return ACTIONS[name]
    raise InvalidInputError(
        f"there is no action {name!r}",
        hint=closest(name, ACTIONS) or f"actions are {', '.join(ACTIONS)}",
    )


def may_i(session: Session, action: Action, environment_key: str | None) -> bool:
    """Whether the bearer of the token may."""
    there, everywhere = _places(session, action, environment_key)
    return is_allowed(action, session.actor.grants, there=there, environments=everywhere)


def who_may(session: Session, action: Action, environment_key: str | None) -> list[Holder]:
    """Every member who may, by name."""
    there, everywhere = _places(session, action, environment_key)
    held: dict[tuple[str, str, str], list[Grant]] = {}
    names = {row.id: row.key for row in environments(session)}
    rows = session.execute(
        select(
            Member.email,
            Issuer.issuer,
            Member.subject,
            Member.claims,
            Member.role,
            Member.environment_id,
        )
        .join(Issuer, Issuer.id == Member.issuer_id)
        .where(Member.organization_id == session.organization_id)
        .order_by(Member.email, Member.id)
    )
    for row in rows:
        who = (row.email, row.issuer, row.subject or str(row.claims))
        grant = Grant(Role(row.role), row.environment_id, names.get(row.environment_id))
        held.setdefault(who, []).append(grant)
    return [
        Holder(name, issuer, tuple(map(_role, grants)))
        for (name, issuer, _), grants in held.items()
        if is_allowed(action, grants, there=there, environments=everywhere)
    ]


def what_is_needed(action: Action, environment_key: str | None) -> str:
    """The role and the place, in words."""
    role = needed(action.permission)
    if action.permission is Permission.READ:
        return f"any role, as {role}"
    places = {
        Scope.THERE: f"in {environment_key}",
        Scope.EVERYWHERE: "in every environment",
        Scope.ORGANIZATION: "for the whole organization",
    }
    return f"{role} {places[action.scope]}"


def _places(
    session: Session, action: Action, environment_key: str | None
) -> tuple[int | None, set[int]]:
    if action.scope is Scope.THERE and environment_key is None:
        raise InvalidInputError("no environment is named", hint="--env ENV, or FLAGCTL_ENV")
    there = find_environment(session, environment_key).id if environment_key else None
    return there, {row.id for row in environments(session)}


def _role(grant: Grant) -> str:
    return f"{grant.role} in {grant.environment or 'every environment'}"
