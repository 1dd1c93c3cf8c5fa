from itertools import product

import pytest

from core.auth.actor import Actor, Grant, Permission, Role
from core.errors import ForbiddenError

DEV, PROD = (1, "dev"), (2, "prod")

# As the interface's table has it: what a role may do where it is held.
TABLE = {
    Role.VIEWER: {"read"},
    Role.EDITOR: {"read", "edit"},
    Role.APPROVER: {"read"},
    Role.ADMIN: {"read", "edit", "administer", "govern"},
}


def actor(*grants: tuple[Role, tuple[int, str] | None]) -> Actor:
    return Actor(
        "ann",
        "ann@example.com",
        tuple(Grant(role, place and place[0], place and place[1]) for role, place in grants),
    )


@pytest.mark.parametrize(("role", "permission"), list(product(Role, Permission)))
def test_a_role_in_one_environment(role: Role, permission: Permission) -> None:
    ann = actor((role, DEV))
    assert ann.may(permission, DEV[0]) == (permission in TABLE[role])
    assert not ann.may(permission, PROD[0])
    assert not ann.may(permission)


@pytest.mark.parametrize(("role", "permission"), list(product(Role, Permission)))
def test_a_role_in_the_whole_organization(role: Role, permission: Permission) -> None:
    ann = actor((role, None))
    allowed = permission in TABLE[role]
    assert [ann.may(permission, place) for place in (None, DEV[0], 99)] == [allowed] * 3


@pytest.mark.parametrize("permission", list(Permission))
def test_without_a_grant_nothing(permission: Permission) -> None:
    assert not actor().may(permission)
    assert not actor().may(permission, DEV[0])


@pytest.mark.parametrize(("first", "second", "permission"), list(product(Role, Role, Permission)))
def test_an_action_needs_its_permission_in_every_environment(
    first: Role, second: Role, permission: Permission
) -> None:
    ann = actor((first, DEV), (second, PROD))
    missing = [
        place[1] for place, role in ((DEV, first), (PROD, second)) if permission not in TABLE[role]
    ]
    if not missing:
        ann.require(permission, environments=[DEV, PROD])
        return
    with pytest.raises(ForbiddenError) as caught:
        ann.require(permission, environments=[DEV, PROD])
    assert f"in {', '.join(missing)}:" in caught.value.message


def test_a_role_in_every_environment_is_not_one_in_the_organization() -> None:
    ann = actor((Role.ADMIN, DEV), (Role.ADMIN, PROD))
    with pytest.raises(ForbiddenError, match="may not do this in the whole organization"):
        ann.require(Permission.GOVERN)


def test_roles_add_up() -> None:
    ann = actor((Role.VIEWER, None), (Role.EDITOR, DEV))
    assert ann.may(Permission.EDIT, DEV[0])
    assert ann.may(Permission.READ, PROD[0])
    assert not ann.may(Permission.EDIT, PROD[0])


@pytest.mark.parametrize(
    ("permission", "role"),
    [
        (Permission.READ, "viewer"),
        (Permission.EDIT, "editor or admin"),
        (Permission.ADMINISTER, "admin"),
        (Permission.GOVERN, "admin"),
    ],
)
def test_a_refusal_names_who_where_and_the_role_needed(permission: Permission, role: str) -> None:
    with pytest.raises(ForbiddenError) as caught:
        actor().require(permission, environments=[PROD])
    assert caught.value.message == (
        f"ann@example.com may not do this in prod: it needs the role {role}"
    )
    assert "flagctl whoami" in caught.value.hint
