"""One of everything, to look at or to be refused."""

from dataclasses import replace

from core.auth.actor import Role
from core.services import configs, environments, flags, overrides
from core.services.api_keys import create_key
from core.services.change import Change
from core.services.members import add_member
from core.value_types import ValueType

THEME = flags.Definition(
    "theme",
    ValueType.STRING,
    {"dark": "#000", "light": "#fff", "blue": "#00f"},
    on_variant="dark",
    off_variant="light",
)
MAX_ITEMS = configs.Definition(
    "max_items", ValueType.INTEGER, schema={"minimum": 0, "maximum": 100}
)


def fill(change: Change) -> None:
    """Two flags in use, two configs, a key, a member, a protected environment; all in one change.

    `archive` comes in a change of its own: an entity has one event in each.
    """
    environments.create_environment(change, "locked", confirm=True)
    flags.create_flag(change, flags.Definition("dark_mode"))
    flags.create_flag(change, THEME)
    flags.create_flag(change, flags.Definition("old_flag"))
    overrides.set_override(change, "theme", "dev", "blue")
    configs.define_config(change, MAX_ITEMS)
    configs.define_config(change, configs.Definition("banner", ValueType.STRING))
    configs.set_value(change, "max_items", "dev", 5)
    create_key(change, "web", "dev")
    add_member(change, "ed@example.com", Role.EDITOR, "dev")


def confirmed(change: Change) -> Change:
    """The same change, by somebody who said yes."""
    return replace(change, options=replace(change.options, confirmed=True))
