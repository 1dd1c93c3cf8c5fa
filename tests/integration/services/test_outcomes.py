"""Each action: the events it writes, whose revision it raises, and when it writes nothing."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.auth.actor import Role
from core.queries.configs import get_value
from core.services import api_keys, configs, environments, flags, members, overrides
from core.services.change import Change
from core.value_types import ValueType
from tests.support.installations import ADMIN_EMAIL, Installation
from tests.support.seeds import MAX_ITEMS, THEME

Call = Callable[[Change], object]
EVERYWHERE = {"dev", "staging", "prod", "locked"}
NOWHERE: set[str] = set()
NOTHING: list[str] = []
LATER = datetime(2099, 1, 1, tzinfo=UTC)


def update(**fields: Any) -> Call:
    return lambda c: flags.update_flag(c, "theme", flags.Edit(**fields))


def put(key: str, environment: str, state: str) -> Call:
    return lambda c: overrides.set_override(c, key, environment, state)


def value(key: str, environment: str, wanted: Any) -> Call:
    return lambda c: configs.set_value(c, key, environment, wanted)


def edit_config(**fields: Any) -> Call:
    return lambda c: configs.update_config(c, "max_items", configs.Edit(**fields))


def edit_environment(key: str, **fields: Any) -> Call:
    return lambda c: environments.update_environment(c, key, environments.Edit(**fields))


# An event is written "type key environment action", an environment of its own as "-".
TABLE: dict[str, tuple[Call, list[str], set[str]]] = {
    "create a flag": (
        lambda c: flags.create_flag(c, replace(THEME, key="new")),
        ["feature new - create"],
        EVERYWHERE,
    ),
    "describe a flag": (update(description="x"), ["feature theme - update"], NOWHERE),
    "own a flag": (update(owner="team"), ["feature theme - update"], NOWHERE),
    "tag a flag": (update(tags=("b", "a", "b")), ["feature theme - update"], NOWHERE),
    "make a flag permanent": (update(permanent=True), ["feature theme - update"], NOWHERE),
    "show a flag to clients": (update(client_visible=True), ["feature theme - update"], EVERYWHERE),
    "add a variant": (update(variants={"x": "y"}), ["feature theme - update"], EVERYWHERE),
    "change a variant": (update(variants={"dark": "y"}), ["feature theme - update"], EVERYWHERE),
    "serve another variant": (update(on_variant="blue"), ["feature theme - update"], EVERYWHERE),
    "let a flag expire": (update(expires_at=LATER), ["feature theme - update"], EVERYWHERE),
    "update to the same": (
        update(on_variant="dark", variants=THEME.variants, permanent=False, tags=()),
        NOTHING,
        NOWHERE,
    ),
    "update nothing": (update(), NOTHING, NOWHERE),
    "default on": (
        lambda c: flags.set_default(c, "theme", enabled=True),
        ["feature theme - update"],
        EVERYWHERE,
    ),
    "default off again": (
        lambda c: flags.set_default(c, "theme", enabled=False),
        NOTHING,
        NOWHERE,
    ),
    "archive": (
        lambda c: flags.archive_flag(c, "theme"),
        ["feature theme - archive"],
        EVERYWHERE,
    ),
    "archive again": (lambda c: flags.archive_flag(c, "old_flag"), NOTHING, NOWHERE),
    "unarchive": (
        lambda c: flags.unarchive_flag(c, "old_flag"),
        ["feature old_flag - unarchive"],
        EVERYWHERE,
    ),
    "unarchive again": (lambda c: flags.unarchive_flag(c, "theme"), NOTHING, NOWHERE),
    "delete a flag": (
        lambda c: flags.delete_flag(c, "theme"),
        ["feature theme dev delete", "feature theme - delete"],
        EVERYWHERE,
    ),
    "delete an archived flag": (
        lambda c: flags.delete_flag(c, "old_flag"),
        ["feature old_flag - delete"],
        NOWHERE,
    ),
    "default of an archived flag": (
        lambda c: flags.set_default(c, "old_flag", enabled=True),
        ["feature old_flag - update"],
        NOWHERE,
    ),
    "set on": (put("dark_mode", "prod", "on"), ["feature dark_mode prod update"], {"prod"}),
    "set off": (put("dark_mode", "prod", "off"), ["feature dark_mode prod update"], {"prod"}),
    "set a variant": (put("theme", "prod", "light"), ["feature theme prod update"], {"prod"}),
    "set the same variant": (put("theme", "dev", "blue"), NOTHING, NOWHERE),
    "set from a variant to on": (put("theme", "dev", "on"), ["feature theme dev update"], {"dev"}),
    "inherit what is inherited": (put("dark_mode", "prod", "inherit"), NOTHING, NOWHERE),
    "inherit again": (put("theme", "dev", "inherit"), ["feature theme dev update"], {"dev"}),
    "define a config": (
        lambda c: configs.define_config(c, replace(MAX_ITEMS, key="new")),
        ["config new - create"],
        NOWHERE,
    ),
    "describe a config": (edit_config(description="x"), ["config max_items - update"], NOWHERE),
    "another schema": (edit_config(schema={}), ["config max_items - update"], NOWHERE),
    "no schema": (edit_config(drop_schema=True), ["config max_items - update"], NOWHERE),
    "the same schema": (edit_config(schema=MAX_ITEMS.schema), NOTHING, NOWHERE),
    "show a config to clients": (
        edit_config(client_visible=True),
        ["config max_items - update"],
        {"dev"},
    ),
    "first value": (value("max_items", "prod", 5), ["config max_items prod create"], {"prod"}),
    "another value": (value("max_items", "dev", 6), ["config max_items dev update"], {"dev"}),
    "the same value": (value("max_items", "dev", 5), NOTHING, NOWHERE),
    "unset": (
        lambda c: configs.unset_value(c, "max_items", "dev"),
        ["config max_items dev delete"],
        {"dev"},
    ),
    "delete a config": (
        lambda c: configs.delete_config(c, "max_items"),
        ["config max_items dev delete", "config max_items - delete"],
        {"dev"},
    ),
    "delete a config without values": (
        lambda c: configs.delete_config(c, "banner"),
        ["config banner - delete"],
        NOWHERE,
    ),
    "create an environment": (
        lambda c: environments.create_environment(c, "qa"),
        ["environment qa - create"],
        {"qa"},
    ),
    "describe an environment": (
        edit_environment("dev", description="x"),
        ["environment dev - update"],
        NOWHERE,
    ),
    "protect": (edit_environment("dev", confirm=True), ["environment dev - update"], NOWHERE),
    "protect again": (edit_environment("locked", confirm=True), NOTHING, NOWHERE),
    "delete an environment": (
        lambda c: environments.delete_environment(c, "dev"),
        [
            "feature theme dev delete",
            "config max_items dev delete",
            "api_key web dev delete",
            "member ed@example.com dev delete",
            "environment dev - delete",
        ],
        NOWHERE,
    ),
    "create a key": (
        lambda c: api_keys.create_key(c, "app", "prod"),
        ["api_key app prod create"],
        {"prod"},
    ),
    "rotate a key": (
        lambda c: api_keys.rotate_key(c, "web", "dev", overlap=timedelta(days=7)),
        ["api_key web dev rotate", "api_key web dev create"],
        {"dev"},
    ),
    "revoke a key": (
        lambda c: api_keys.revoke_key(c, "web", "dev"),
        ["api_key web dev revoke"],
        {"dev"},
    ),
    "add a member": (
        lambda c: members.add_member(c, "ann@example.com", Role.VIEWER, None),
        ["member ann@example.com - create"],
        NOWHERE,
    ),
    "give another role": (
        lambda c: members.add_member(c, "ed@example.com", Role.ADMIN, "dev"),
        ["member ed@example.com dev update"],
        NOWHERE,
    ),
    "give the same role": (
        lambda c: members.add_member(c, ADMIN_EMAIL, Role.ADMIN, None),
        NOTHING,
        NOWHERE,
    ),
    "remove a member": (
        lambda c: members.remove_member(c, "ed@example.com", None),
        ["member ed@example.com dev delete"],
        NOWHERE,
    ),
}


@pytest.mark.parametrize("name", TABLE)
def test_events_and_revisions_of_each_action(name: str, seeded: Installation) -> None:
    call, events, raised = TABLE[name]
    seq, revisions = seeded.last_event(), seeded.revisions()
    with seeded.change(dry_run=True) as change:
        call(change)
    outcome = change.outcome
    assert [
        f"{e.entity_type} {e.entity_key} {e.environment or '-'} {e.action}" for e in outcome.events
    ] == events
    assert {r.environment: r.revision for r in outcome.raised} == {
        key: revisions.get(key, 1) + 1 for key in raised
    }
    assert [event.id for event in outcome.events] == [seq + 1 + n for n in range(len(events))]
    assert (outcome.changed, outcome.committed) == (bool(events), False)
    assert (seeded.last_event(), seeded.revisions()) == (seq, revisions), "a dry run wrote"


@pytest.mark.parametrize(("before", "after"), [(1, 1.0), (1.0, 1), (True, False), (0, 0.0)])
def test_another_json_type_is_a_change(before: Any, after: Any, installation: Installation) -> None:
    kind = "number" if not isinstance(before, bool) else "boolean"
    definition = configs.Definition("a", ValueType(kind))
    with installation.change() as change:
        configs.define_config(change, definition)
        configs.set_value(change, "a", "dev", before)
    for wanted, changed in ((before, False), (after, True), (after, False)):
        with installation.change() as change:
            configs.set_value(change, "a", "dev", wanted)
        assert change.outcome.changed is changed
    with installation.session() as session:
        found = get_value(session, "a", "dev")
    assert (found, type(found)) == (after, type(after))


def test_another_json_type_of_a_variant_is_a_change(installation: Installation) -> None:
    definition = flags.Definition(
        "a", ValueType.NUMBER, {"on": 1, "off": 0}, on_variant="on", off_variant="off"
    )
    with installation.change() as change:
        flags.create_flag(change, definition)
    with installation.change() as change:
        flags.update_flag(change, "a", flags.Edit(variants={"on": 1.0}))
    assert [r.environment for r in change.outcome.raised] == ["dev", "staging", "prod"]
