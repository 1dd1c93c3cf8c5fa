"""Every role against every kind of action, as the interface's table has it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest

from core.auth.actor import Role
from core.errors import ConfirmationNeededError, ForbiddenError, NotFoundError
from core.queries.flags import show_flag
from core.services import api_keys, configs, environments, flags, members, overrides, tokens
from core.services.change import Change, Options
from core.settings import Secret
from core.value_types import ValueType
from tests.support.installations import ADMIN_EMAIL, Cluster, Installation
from tests.support.seeds import THEME, fill

Call = Callable[[Change], object]
YES = Options(dry_run=True, confirmed=True)

THERE: dict[str, Call] = {
    "set": lambda c: overrides.set_override(c, "theme", "dev", "on"),
    "config set": lambda c: configs.set_value(c, "max_items", "dev", 7),
    "config unset": lambda c: configs.unset_value(c, "max_items", "dev"),
}
EVERYWHERE: dict[str, Call] = {
    "create": lambda c: flags.create_flag(c, replace(THEME, key="new")),
    "update": lambda c: flags.update_flag(c, "theme", flags.Edit(on_variant="blue")),
    "describe": lambda c: flags.update_flag(c, "theme", flags.Edit(description="x")),
    "default": lambda c: flags.set_default(c, "theme", enabled=True),
    "archive": lambda c: flags.archive_flag(c, "theme"),
    "unarchive": lambda c: flags.unarchive_flag(c, "theme"),
    "config define": lambda c: configs.define_config(
        c, configs.Definition("new", ValueType.STRING)
    ),
    "config update": lambda c: configs.update_config(c, "max_items", configs.Edit(description="x")),
}
ADMIN_EVERYWHERE: dict[str, Call] = {
    "delete": lambda c: flags.delete_flag(c, "theme"),
    "config delete": lambda c: configs.delete_config(c, "max_items"),
}
ADMIN_THERE: dict[str, Call] = {
    "key create": lambda c: api_keys.create_key(c, "new", "dev"),
    "key rotate": lambda c: api_keys.rotate_key(c, "web", "dev", overlap=timedelta(1)),
    "key revoke": lambda c: api_keys.revoke_key(c, "web", "dev"),
    "protect": lambda c: environments.update_environment(c, "dev", environments.Edit(confirm=True)),
}
GOVERNING: dict[str, Call] = {
    "env create": lambda c: environments.create_environment(c, "new"),
    "env delete": lambda c: environments.delete_environment(c, "staging"),
    "member add": lambda c: members.add_member(c, "x@example.com", Role.VIEWER, "dev"),
    "member remove": lambda c: members.remove_member(c, "ed@example.com", None),
    "token revoke": lambda c: tokens.revoke_token(c, "0" * 32),
    "make oneself admin": lambda c: members.add_member(c, c.session.actor.name, Role.ADMIN, None),
}
ACTIONS = THERE | EVERYWHERE | ADMIN_EVERYWHERE | ADMIN_THERE | GOVERNING

# Who holds what: role, and the environments it is held in; none is the whole organization.
HOLDERS: Mapping[str, tuple[Role, tuple[str, ...]]] = {
    "viewer": (Role.VIEWER, ()),
    "approver": (Role.APPROVER, ()),
    "editor": (Role.EDITOR, ()),
    "admin": (Role.ADMIN, ()),
    "viewer of dev": (Role.VIEWER, ("dev",)),
    "approver of dev": (Role.APPROVER, ("dev",)),
    "editor of dev": (Role.EDITOR, ("dev",)),
    "admin of dev": (Role.ADMIN, ("dev",)),
    "editor of prod": (Role.EDITOR, ("prod",)),
    "admin of prod": (Role.ADMIN, ("prod",)),
    "editor of each": (Role.EDITOR, ("dev", "staging", "prod", "locked")),
    "admin of each": (Role.ADMIN, ("dev", "staging", "prod", "locked")),
}
ALLOWED: Mapping[str, dict[str, Call]] = {
    "editor": THERE | EVERYWHERE,
    "admin": ACTIONS,
    "editor of dev": THERE,
    "admin of dev": THERE | ADMIN_THERE,
    "editor of each": THERE | EVERYWHERE,
    "admin of each": THERE | EVERYWHERE | ADMIN_EVERYWHERE | ADMIN_THERE,
}


@dataclass(frozen=True)
class Staff:
    installation: Installation
    tokens: Mapping[str, Secret]


@pytest.fixture(scope="module")
def staff(cluster: Cluster) -> Iterator[Staff]:
    with cluster.installation() as made:
        with made.change(confirmed=True) as change:
            fill(change)
        yield Staff(
            made,
            {name: made.token_for(role, *places) for name, (role, places) in HOLDERS.items()},
        )


def is_allowed(change: Change, call: Call) -> bool:
    """Whether it gets past the question of rights; nothing of it stays."""
    savepoint = change.session.connection.sqlalchemy.begin_nested()
    try:
        call(change)
    except ForbiddenError:
        return False
    except NotFoundError:  # allowed, and there is no such token
        return True
    finally:
        savepoint.rollback()
    return True


@pytest.mark.parametrize("holder", HOLDERS)
def test_what_a_holder_of_a_role_may_do(holder: str, staff: Staff) -> None:
    with staff.installation.change(staff.tokens[holder], options=YES) as change:
        allowed = {name for name, call in ACTIONS.items() if is_allowed(change, call)}
    assert allowed == set(ALLOWED.get(holder, {}))


@pytest.mark.parametrize("holder", HOLDERS)
def test_everybody_reads(holder: str, staff: Staff) -> None:
    with staff.installation.session(staff.tokens[holder]) as session:
        assert show_flag(session, "theme").key == "theme"


def test_a_refusal_names_the_environments_that_are_missing(staff: Staff) -> None:
    token = staff.tokens["editor of dev"]
    with (
        pytest.raises(ForbiddenError, match="may not do this in staging, prod, locked: it needs"),
        staff.installation.change(token) as change,
    ):
        flags.set_default(change, "theme", enabled=True)


def test_a_token_is_issued_by_admins_alone(staff: Staff) -> None:
    installation = staff.installation
    for holder in ("viewer", "editor", "admin of each"):
        with (
            pytest.raises(ForbiddenError),
            installation.change(staff.tokens[holder]) as change,
        ):
            tokens.issue_token(
                change, ADMIN_EMAIL, installation.signing_key, lifetime=timedelta(hours=1)
            )


def test_the_right_is_asked_before_the_confirmation(staff: Staff) -> None:
    token = staff.tokens["editor of dev"]
    with pytest.raises(ForbiddenError), staff.installation.change(token) as change:
        overrides.set_override(change, "theme", "locked", "on")
    with (
        pytest.raises(ConfirmationNeededError),
        staff.installation.change(staff.tokens["editor of each"]) as change,
    ):
        overrides.set_override(change, "theme", "locked", "on")
