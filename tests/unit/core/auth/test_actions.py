"""The table of actions, apart from Postgres; the matrix test holds both together."""

import pytest

from core.auth.actions import ACTIONS, Action, Scope, is_allowed
from core.auth.actor import Grant, Permission, Role

ALL = (1, 2)
EDITOR_OF_ONE = [Grant(Role.EDITOR, 1, "dev")]
EDITOR_OF_EACH = [Grant(Role.EDITOR, 1, "dev"), Grant(Role.EDITOR, 2, "prod")]
EDITOR = [Grant(Role.EDITOR, None, None)]
ADMIN_OF_EACH = [Grant(Role.ADMIN, 1, "dev"), Grant(Role.ADMIN, 2, "prod")]


@pytest.mark.parametrize(
    ("name", "grants", "there", "allowed"),
    [
        ("set", EDITOR_OF_ONE, 1, True),
        ("set", EDITOR_OF_ONE, 2, False),
        ("set", EDITOR, 2, True),
        ("update", EDITOR_OF_ONE, None, False),
        ("update", EDITOR_OF_EACH, None, True),
        ("delete", EDITOR, None, False),
        ("delete", ADMIN_OF_EACH, None, True),
        ("member add", ADMIN_OF_EACH, None, False),
        ("member add", [Grant(Role.ADMIN, None, None)], None, True),
        ("list", [Grant(Role.VIEWER, 1, "dev")], None, True),
        ("list", [], None, False),
    ],
)
def test_who_may(name: str, grants: list[Grant], there: int | None, allowed: bool) -> None:
    assert is_allowed(ACTIONS[name], grants, there=there, environments=ALL) is allowed


def test_every_environment_of_none_is_not_a_right() -> None:
    everywhere = Action(Permission.EDIT, Scope.EVERYWHERE)
    assert not is_allowed(everywhere, EDITOR_OF_ONE, there=None, environments=())
    assert is_allowed(everywhere, EDITOR, there=None, environments=())
