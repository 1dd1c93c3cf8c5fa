"""What can be done, by the words of the commands, and what right each needs where.

`can-i` and `who-can` answer from this table; the services ask the same rights, and a test holds
services, table and Postgres together.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum, auto

from core.auth.actor import Grant, Permission, allows


class Scope(Enum):
    """Where the right must be held."""

    THERE = auto()  # in the environment that the action names
    EVERYWHERE = auto()  # in every environment: all of them serve what changes
    SOMEWHERE = auto()  # in one environment at least, and in each where it is used
    ORGANIZATION = auto()  # for the whole organization


@dataclass(frozen=True, slots=True)
class Action:
    """What one command needs."""

    permission: Permission
    scope: Scope


def _each(permission: Permission, scope: Scope, *names: str) -> dict[str, Action]:
    return dict.fromkeys(names, Action(permission, scope))


ACTIONS = {
    **_each(
        Permission.READ,
        Scope.ORGANIZATION,
        *("list", "show", "config get", "config list", "config show", "env list", "env show"),
        *("segment list", "segment show", "rule list", "rule show", "eval", "explain", "key list"),
        *("member list", "token list", "audit list", "audit show"),
    ),
    **_each(
        Permission.EDIT,
        Scope.THERE,
        *("set", "config set", "config unset", "rule add", "rule update", "rule move"),
        *("rule remove", "rule require", "rule unrequire"),
    ),
    **_each(
        Permission.EDIT,
        Scope.SOMEWHERE,
        *("segment create", "segment update", "segment delete"),
    ),
    **_each(
        Permission.EDIT,
        Scope.EVERYWHERE,
        *("create", "update", "set --default", "archive", "unarchive"),
        *("config define", "config update", "rollout reshuffle"),
    ),
    **_each(Permission.ADMINISTER, Scope.EVERYWHERE, "delete", "config delete"),
    **_each(
        Permission.ADMINISTER, Scope.THERE, "key create", "key rotate", "key revoke", "env update"
    ),
    **_each(
        Permission.GOVERN,
        Scope.ORGANIZATION,
        *("env create", "env delete", "member add", "member remove", "token issue"),
        *("token revoke", "org update"),
    ),
}


def is_allowed(
    action: Action, grants: Iterable[Grant], *, there: int | None, environments: Collection[int]
) -> bool:
    """Whether whoever holds the grants may. `there` is the id of the environment that the action
    names (None: an action that names none), `environments` are all of the organization's."""
    held = [grant for grant in grants if allows(grant.role, action.permission)]
    if any(grant.environment_id is None for grant in held):
        return True
    places = {grant.environment_id for grant in held}
    if action.permission is Permission.READ:
        return bool(held)  # whoever is a member reads everything
    match action.scope:
        case Scope.THERE:
            return there in places
        case Scope.EVERYWHERE:
            return bool(environments) and places.issuperset(environments)
        case Scope.SOMEWHERE:
            return bool(held)
        case Scope.ORGANIZATION:
            return False
