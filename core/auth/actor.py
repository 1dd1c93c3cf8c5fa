"""Who acts, and what their roles allow."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from core.errors import ForbiddenError


class Role(StrEnum):
    VIEWER = "viewer"
    EDITOR = "editor"
    APPROVER = "approver"
    ADMIN = "admin"


class Permission(StrEnum):
    """What an action needs, in every environment whose revision it raises."""

    READ = "read"
    EDIT = "edit"  # state, values; definitions, when held everywhere
    ADMINISTER = "administer"  # delete, API keys, protect
    GOVERN = "govern"  # environments, members, tokens: of the whole organization


_ALLOWED = {
    Role.VIEWER: {Permission.READ},
    Role.EDITOR: {Permission.READ, Permission.EDIT},
    Role.APPROVER: {Permission.READ},
    Role.ADMIN: set(Permission),
}
_NEEDED = {
    Permission.READ: "viewer",
    Permission.EDIT: "editor or admin",
    Permission.ADMINISTER: "admin",
    Permission.GOVERN: "admin",
}


def allows(role: Role, permission: Permission) -> bool:
    """Whether a role has a right, wherever it is held."""
    return permission in _ALLOWED[role]


def needed(permission: Permission) -> str:
    """The roles that have a right, in words."""
    return _NEEDED[permission]


@dataclass(frozen=True, slots=True)
class Grant:
    """A role in one environment, or (both None) in the whole organization."""

    role: Role
    environment_id: int | None
    environment: str | None


@dataclass(frozen=True, slots=True)
class Actor:
    """The authenticated person or machine. `id` is stable, `name` is for people."""

    id: str
    name: str
    grants: tuple[Grant, ...]

    def may(self, permission: Permission, environment_id: int | None = None) -> bool:
        """Whether a grant allows it there; with None, in the whole organization."""
        return any(
            allows(grant.role, permission)
            and (grant.environment_id is None or grant.environment_id == environment_id)
            for grant in self.grants
        )

    def require(
        self, permission: Permission, *, environments: Iterable[tuple[int, str]] = ()
    ) -> None:
        """Raise ForbiddenError unless allowed in each (id, key), or without any: everywhere."""
        wanted = list(environments)
        if not wanted:
            if not self.may(permission):
                raise self._refusal(permission, "the whole organization")
            return
        missing = [key for id_, key in wanted if not self.may(permission, id_)]
        if missing:
            raise self._refusal(permission, ", ".join(missing))

    def _refusal(self, permission: Permission, where: str) -> ForbiddenError:
        return ForbiddenError(
            f"{self.name} may not do this in {where}: it needs the role {needed(permission)}",
            hint="`flagctl whoami` shows your roles; an admin gives them with `flagctl member add`",
        )
