"""What people read: flags, configs, environments, side by side and filtered."""

from dataclasses import replace
from typing import Any

import pytest

from core.errors import NotFoundError
from core.queries import api_keys, configs, environments, flags, members
from core.queries.flags import Filter
from core.services import flags as flag_service
from core.services import overrides
from core.services.environments import delete_environment
from tests.support.installations import ADMIN_EMAIL, Installation
from tests.support.seeds import THEME


@pytest.mark.parametrize(
    ("wanted", "keys"),
    [
        (Filter(), ["dark_mode", "theme"]),
        (Filter(archived=True), ["dark_mode", "old_flag", "theme"]),
        (Filter(match="mode"), ["dark_mode"]),
        (Filter(match="%"), []),
        (Filter(match="_"), ["dark_mode"]),
        (Filter(tag="x"), []),
        (Filter(owner="x"), []),
        (Filter(owner=""), ["dark_mode", "theme"]),
    ],
)
def test_flags_are_filtered(wanted: Filter, keys: list[str], seeded: Installation) -> None:
    with seeded.session() as session:
        assert [flag.key for flag in flags.list_flags(session, wanted)] == keys


def test_tags_and_owners_are_found(installation: Installation) -> None:
    with installation.change() as change:
        definition = flag_service.Definition("a", owner="team", tags=("x", "y", "x"))
        flag_service.create_flag(change, definition)
    with installation.session() as session:
        (found,) = flags.list_flags(session, Filter(tag="x", owner="team"))
    assert (found.tags, found.owner) == (["x", "y"], "team")


def test_a_line_shows_the_state_in_every_environment(seeded: Installation) -> None:
    with seeded.session() as session:
        theme = flags.list_flags(session, Filter(match="theme"))[0]
        alone = flags.list_flags(session, Filter(match="theme", environment="prod"))[0]
    assert theme.states == {"dev": "blue", "staging": "off", "prod": "off", "locked": "off"}
    assert alone.states == {"prod": "off"}
    assert (theme.default, theme.archived) == ("off", False)


@pytest.mark.parametrize(
    ("state", "default", "shown"),
    [
        ("on", False, ("on", True, "dark", "#000")),
        ("off", True, ("off", False, "light", "#fff")),
        ("blue", False, ("on", True, "blue", "#00f")),
        ("light", False, ("on", True, "light", "#fff")),
        ("inherit", True, ("inherit", True, "dark", "#000")),
        ("inherit", False, ("inherit", False, "light", "#fff")),
    ],
)
def test_what_a_state_gives(
    state: str, default: bool, shown: tuple[Any, ...], seeded: Installation
) -> None:
    with seeded.change(dry_run=True) as change:
        flag_service.create_flag(change, replace(THEME, key="new", default_enabled=default))
        result = overrides.set_override(change, "new", "prod", state)
        detail = flags.show_flag(change.session, "new")
    found = next(e for e in detail.environments if e.environment == "prod")
    assert (found.state, found.enabled, found.variant, found.value) == shown
    assert (result.state, result.enabled, result.variant) == shown[:3]


def test_all_of_a_flag(seeded: Installation) -> None:
    with seeded.session() as session:
        flag = flags.show_flag(session, "theme")
    assert (flag.key, flag.type, flag.on_variant, flag.off_variant) == (
        "theme",
        "string",
        "dark",
        "light",
    )
    assert flag.variants == THEME.variants
    assert [e.environment for e in flag.environments] == ["dev", "staging", "prod", "locked"]
    assert flag.version == 1


def test_configs_with_their_values(seeded: Installation) -> None:
    with seeded.session() as session:
        listed = configs.list_configs(session)
        shown = configs.show_config(session, "max_items")
        assert configs.get_value(session, "max_items", "dev") == 5
        in_prod = configs.list_configs(session, environment="prod", match="max")
    assert [(c.key, c.type, c.values) for c in listed] == [
        ("banner", "string", {}),
        ("max_items", "integer", {"dev": 5}),
    ]
    assert (shown.schema, shown.values) == ({"minimum": 0, "maximum": 100}, {"dev": 5})
    assert [(c.key, c.values) for c in in_prod] == [("max_items", {})]


def test_environments_with_what_is_in_them(seeded: Installation) -> None:
    with seeded.session() as session:
        listed = environments.list_environments(session)
        dev = environments.show_environment(session, "dev")
    assert [(e.key, e.revision) for e in listed] == list(seeded.revisions().items())
    assert (dev.overrides, dev.config_values, dev.api_keys, dev.confirm) == (1, 1, 1, False)
    assert dev.id == seeded.environment_id("dev")
    assert [e.confirm for e in listed] == [False, False, False, True]


def test_keys_and_members(seeded: Installation) -> None:
    with seeded.session() as session:
        assert [key.name for key in api_keys.list_keys(session, environment="dev")] == ["web"]
        assert api_keys.list_keys(session, environment="prod") == []
        found = [(m.email, m.role, m.environment) for m in members.list_members(session)]
    assert found == [(ADMIN_EMAIL, "admin", None), ("ed@example.com", "editor", "dev")]


@pytest.mark.parametrize(
    ("ask", "words"),
    [
        (lambda s: flags.show_flag(s, "tehme"), "there is no flag 'tehme'"),
        (lambda s: flags.list_flags(s, Filter(environment="x")), "no environment 'x'"),
        (lambda s: configs.show_config(s, "x"), "there is no config 'x'"),
        (lambda s: configs.list_configs(s, environment="x"), "no environment 'x'"),
        (lambda s: configs.get_value(s, "banner", "dev"), "banner has no value in dev"),
        (lambda s: environments.show_environment(s, "x"), "no environment 'x'"),
        (lambda s: api_keys.list_keys(s, environment="x"), "no environment 'x'"),
    ],
)
def test_what_is_not_there(ask: Any, words: str, seeded: Installation) -> None:
    with pytest.raises(NotFoundError, match=words), seeded.session() as session:
        ask(session)


def test_an_empty_installation(installation: Installation) -> None:
    with installation.change(confirmed=True) as change:
        for key in ("dev", "staging", "prod"):
            delete_environment(change, key)
    with installation.session() as session:
        assert flags.list_flags(session, Filter()) == []
        assert configs.list_configs(session) == []
        assert environments.list_environments(session) == []
        assert api_keys.list_keys(session) == []
    with installation.change() as change:
        flag_service.create_flag(change, THEME)
    assert change.outcome.raised == ()
    assert len(change.outcome.events) == 1
