"""Every role × every action × every environment: flagctl's table and Postgres give one answer.

flagctl's own question for rights is silenced here, so that Postgres alone decides.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import product

import pytest
from sqlalchemy import text

from core.auth.actions import ACTIONS, Scope, is_allowed
from core.auth.actor import Actor, Permission, Role
from core.errors import ConflictError, ForbiddenError, NotFoundError
from core.lookups import environments as all_environments
from core.services import (
    api_keys,
    configs,
    environments,
    flags,
    members,
    organizations,
    rules,
    segments,
)
from core.services import overrides as states
from core.services import tokens as token_service
from core.services.change import Change, Options
from core.settings import Secret
from core.value_types import ValueType
from tests.support.installations import Cluster, Installation
from tests.support.seeds import THEME, fill

PLACES = ("dev", "staging", "prod", "locked")
YES = Options(dry_run=True, confirmed=True)
Call = Callable[[Change, str], object]

CALLS: Mapping[str, Call] = {
    "set": lambda c, e: states.set_override(c, "switch", e, "on"),
    "config set": lambda c, e: configs.set_value(c, "max_items", e, 7),
    "config unset": lambda c, e: configs.unset_value(c, "max_items", e),
    "rule add": lambda c, e: rules.add_rule(
        c, "switch", e, rules.NewRule(when=True, serve={"variant": "off"})
    ),
    "rule update": lambda c, e: rules.update_rule(
        c, "switch", e, "ruled", rules.RuleEdit(description="other")
    ),
    "rule move": lambda c, e: rules.move_rule(c, "switch", e, "ruled", 2),
    "rule remove": lambda c, e: rules.remove_rule(c, "switch", e, "ruled"),
    "rule require": lambda c, e: rules.require(c, "switch", e, "theme", ["blue"]),
    "rule unrequire": lambda c, e: rules.unrequire(c, "switch", e, "layout"),
    "rollout reshuffle": lambda c, _: flags.reshuffle(c, "switch"),
    "segment create": lambda c, _: segments.create_segment(c, "new", True),
    "segment update": lambda c, _: segments.update_segment(
        c, "unused", segments.Edit(description="other")
    ),
    "segment delete": lambda c, _: segments.delete_segment(c, "unused"),
    "create": lambda c, _: flags.create_flag(c, replace(THEME, key="new")),
    "update": lambda c, _: flags.update_flag(c, "theme", flags.Edit(on_variant="blue")),
    "set --default": lambda c, _: flags.set_default(c, "switch", enabled=True),
    "archive": lambda c, _: flags.archive_flag(c, "theme"),
    "unarchive": lambda c, _: flags.unarchive_flag(c, "gone"),
    "config define": lambda c, _: configs.define_config(
        c, configs.Definition("new", ValueType.STRING)
    ),
    "config update": lambda c, _: configs.update_config(
        c, "max_items", configs.Edit(description="other")
    ),
    "delete": lambda c, _: flags.delete_flag(c, "theme"),
    "config delete": lambda c, _: configs.delete_config(c, "max_items"),
    "key create": lambda c, e: api_keys.create_key(c, "new", e),
    "key rotate": lambda c, e: api_keys.rotate_key(c, "app", e, overlap=timedelta(1)),
    "key revoke": lambda c, e: api_keys.revoke_key(c, "app", e),
    "env update": lambda c, e: environments.update_environment(
        c, e, environments.Edit(description="other")
    ),
    "env create": lambda c, _: environments.create_environment(c, "new"),
    "env delete": lambda c, e: environments.delete_environment(c, e),
    "member add": lambda c, e: members.add_member(c, "new@example.com", Role.ADMIN, e),
    "member remove": lambda c, _: members.remove_member(c, "leaver@example.com", None),
    "org update": lambda c, _: organizations.update_organization(c, name="other"),
}
# What takes an environment is tried in each; for the others there is nothing to vary.
TRIED = [
    (name, place)
    for name in CALLS
    for place in (
        PLACES
        if ACTIONS[name].scope is Scope.THERE or name in ("env delete", "member add")
        else PLACES[:1]
    )
]
TOKENS = [("token issue", PLACES[0]), ("token revoke", PLACES[0])]
READS = {name for name, action in ACTIONS.items() if action.permission is Permission.READ}


@dataclass(frozen=True)
class Staff:
    """A holder of each role in each place, and of each everywhere (None)."""

    installation: Installation
    tokens: Mapping[tuple[Role, str | None], Secret]
    leaver_token: str


@pytest.fixture(scope="module")
def staff(cluster: Cluster) -> Iterator[Staff]:
    with cluster.installation() as made:
        with made.change(confirmed=True) as change:
            fill(change)
        with made.change(confirmed=True) as change:
            flags.create_flag(change, flags.Definition("switch"))
            flags.create_flag(change, flags.Definition("gone"))
            flags.create_flag(change, flags.Definition("layout"))
            segments.create_segment(change, "unused", True)
            members.add_member(change, "leaver@example.com", Role.VIEWER, "dev")
            for place in PLACES:
                api_keys.create_key(change, "app", place)
                configs.set_value(change, "max_items", place, 3)
        with made.change(confirmed=True) as change:
            flags.archive_flag(change, "gone")
        for place, id_ in product(PLACES, ("ruled", "second")):
            with made.change(confirmed=True) as change:
                new = rules.NewRule(when=True, serve={"variant": "on"}, id=id_)
                rules.add_rule(change, "switch", place, new)
        for place in PLACES:
            with made.change(confirmed=True) as change:
                rules.require(change, "switch", place, "layout", ["on"])
        issued = made.issue("leaver@example.com")
        yield Staff(
            made,
            {
                (role, place): made.token_for(role, *([place] if place else []))
                for role, place in product(Role, (None, *PLACES))
            },
            str(issued.id),
        )


def takes_effect(change: Change, name: str, call: Call, environment: str) -> bool:
    """Whether Postgres lets it change anything; nothing of it stays.

    A deletion takes what hangs on the entity first, which may be allowed alone: the entity counts.
    """
    savepoint = change.session.connection.sqlalchemy.begin_nested()
    made = "SELECT count(*) FROM flagctl.audit_events WHERE change_id = :id"
    if name in ("delete", "config delete", "env delete"):
        made += " AND action = 'delete' AND environment_id IS NULL"
    try:
        call(change, environment)
        counted = change.session.execute(text(made), {"id": change.session.change_id})
        return bool(counted.scalar_one())
    except (ForbiddenError, NotFoundError):
        return False
    finally:
        savepoint.rollback()


def test_every_write_of_the_table_is_tried() -> None:
    assert CALLS.keys() | {"token issue", "token revoke"} == ACTIONS.keys() - READS


@pytest.mark.parametrize(("role", "place"), list(product(Role, (None, *PLACES))))
def test_postgres_and_the_table_agree(
    role: Role, place: str | None, staff: Staff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Actor, "require", lambda *_, **__: None)
    calls: dict[str, Call] = {**CALLS} | {
        "token issue": lambda c, _: token_service.issue_token(
            c,
            "leaver@example.com",
            staff.installation.signing_key,
            lifetime=timedelta(hours=1),
        ),
        "token revoke": lambda c, _: token_service.revoke_token(c, staff.leaver_token),
    }
    allowed, expected = set(), set()
    with staff.installation.change(staff.tokens[role, place], options=YES) as change:
        ids = {row.key: row.id for row in all_environments(change.session)}
        for name, environment in TRIED + TOKENS:
            if takes_effect(change, name, calls[name], environment):
                allowed.add((name, environment))
            if is_allowed(
                ACTIONS[name],
                change.session.actor.grants,
                there=ids[environment],
                environments=ids.values(),
            ):
                expected.add((name, environment))
    assert allowed == expected


@pytest.mark.parametrize(("role", "place"), list(product(Role, (None, *PLACES))))
def test_the_services_ask_what_the_table_says(role: Role, place: str | None, staff: Staff) -> None:
    with staff.installation.change(staff.tokens[role, place], options=YES) as change:
        ids = {row.key: row.id for row in all_environments(change.session)}
        for name, environment in TRIED:
            says_yes = is_allowed(
                ACTIONS[name],
                change.session.actor.grants,
                there=ids[environment],
                environments=ids.values(),
            )
            assert takes_effect(change, name, CALLS[name], environment) == says_yes, (
                name,
                environment,
            )


@pytest.mark.parametrize("permission", Permission)
def test_roles_mean_the_same_in_postgres(permission: Permission, staff: Staff) -> None:
    found = staff.installation.ask(
        "SELECT role FROM unnest(%s::text[]) AS role WHERE flagctl.role_allows(role, %s)",
        [list(Role), permission],
    )
    with staff.installation.session() as session:
        actor = session.actor
    grants = [replace(actor.grants[0], role=role) for role in Role]
    expected = {g.role for g in grants if replace(actor, grants=(g,)).may(permission)}
    assert {role for (role,) in found} == expected


def test_the_scopes_are_all_used() -> None:
    assert {action.scope for action in ACTIONS.values()} == set(Scope)


def test_the_last_admin_stays_also_by_raw_sql(installation: Installation) -> None:
    with (
        pytest.raises(ConflictError, match="is the last admin"),
        installation.change() as change,
    ):
        change.session.execute(text("DELETE FROM flagctl.members"))
    with (
        pytest.raises(ConflictError, match="is the last admin"),
        installation.change() as change,
    ):
        change.session.execute(text("UPDATE flagctl.members SET role = 'viewer'"))
