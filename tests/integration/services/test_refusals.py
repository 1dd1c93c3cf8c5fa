"""What each service refuses, with which words, and that nothing is left of it."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from core.auth.actor import Role
from core.errors import (
    ConfirmationNeededError,
    ConflictError,
    FlagctlError,
    InvalidInputError,
    NotFoundError,
)
from core.json_text import JsonValue
from core.services import (
    api_keys,
    configs,
    environments,
    flags,
    installation,
    members,
    overrides,
    tokens,
)
from core.services.change import Change
from tests.support.installations import ADMIN_EMAIL, Installation
from tests.support.seeds import MAX_ITEMS, THEME

Call = Callable[[Change], object]
Refusal = tuple[Call, type[FlagctlError], str]


def create(key: str = "new_flag", **fields: Any) -> Call:
    return lambda c: flags.create_flag(c, replace(THEME, key=key, **fields))


def update(key: str = "theme", **fields: Any) -> Call:
    return lambda c: flags.update_flag(c, key, flags.Edit(**fields))


def value(value: JsonValue, key: str = "max_items", environment: str = "dev") -> Call:
    return lambda c: configs.set_value(c, key, environment, value)


FLAGS: dict[str, Refusal] = {
    "bad key": (create("New Flag"), InvalidInputError, "'New Flag' is not a valid flag key"),
    "taken": (create("theme"), ConflictError, "the flag 'theme' exists already"),
    "taken by an archived one": (create("old_flag"), ConflictError, "exists already, archived"),
    "no variants": (create(variants=None), InvalidInputError, "a string flag needs its variants"),
    "variant of another type": (
        create(variants={"dark": "a", "light": 1}),
        InvalidInputError,
        "the variant 'light' is a string, and 1 is an integer",
    ),
    "reserved variant": (
        create(variants={"inherit": "a", "light": "b", "dark": "c"}),
        InvalidInputError,
        "'inherit' cannot name a variant",
    ),
    "unnamed variant": (
        create(variants={"": "a", "light": "b", "dark": "c"}),
        InvalidInputError,
        "'' cannot name a variant",
    ),
    "no on variant": (create(on_variant=None), InvalidInputError, "serves when it is on"),
    "no off variant": (create(off_variant=None), InvalidInputError, "serves when it is off"),
    "unknown on variant": (
        create(on_variant="drak"),
        InvalidInputError,
        "the on variant 'drak' does not exist",
    ),
    "bad tag": (create(tags=("a\n",)), InvalidInputError, "cannot be a tag"),
    "empty tag": (create(tags=("",)), InvalidInputError, "'' cannot be a tag"),
    "bad description": (create(description="a\0b"), InvalidInputError, "does not print"),
    "long owner": (create(owner="x" * 256), InvalidInputError, "the owner is longer than 255"),
    "update unknown": (update("tehme", owner="x"), NotFoundError, "there is no flag 'tehme'"),
    "update to a wrong type": (update(variants={"x": 1}), InvalidInputError, "'x' is a string"),
    "remove unknown variant": (
        update(removed_variants=("x",)),
        InvalidInputError,
        "the flag 'theme' has no variant 'x'",
    ),
    "remove the on variant": (
        update(removed_variants=("dark",)),
        InvalidInputError,
        "the on variant 'dark' does not exist",
    ),
    "remove a served variant": (
        update(removed_variants=("blue",)),
        ConflictError,
        "the variant 'blue' is served in dev",
    ),
    "default of unknown": (
        lambda c: flags.set_default(c, "nope", enabled=True),
        NotFoundError,
        "there is no flag 'nope'",
    ),
    "archive unasked": (
        lambda c: flags.archive_flag(c, "theme"),
        ConfirmationNeededError,
        "locked is protected",
    ),
    "delete unknown": (lambda c: flags.delete_flag(c, "x"), NotFoundError, "there is no flag 'x'"),
    "key that no flag can have": (
        lambda c: flags.delete_flag(c, "a\0"),
        InvalidInputError,
        "does not print",
    ),
}
OVERRIDES: dict[str, Refusal] = {
    "unknown flag": (
        lambda c: overrides.set_override(c, "darkmode", "dev", "on"),
        NotFoundError,
        "there is no flag 'darkmode'",
    ),
    "unknown environment": (
        lambda c: overrides.set_override(c, "dark_mode", "deev", "on"),
        NotFoundError,
        "there is no environment 'deev'",
    ),
    "archived": (
        lambda c: overrides.set_override(c, "old_flag", "dev", "on"),
        ConflictError,
        "the flag 'old_flag' is archived",
    ),
    "unknown variant": (
        lambda c: overrides.set_override(c, "theme", "dev", "bleu"),
        InvalidInputError,
        "'bleu' is neither on, off, inherit nor a variant of theme",
    ),
    "protected": (
        lambda c: overrides.set_override(c, "theme", "locked", "on"),
        ConfirmationNeededError,
        "locked is protected",
    ),
}
CONFIGS: dict[str, Refusal] = {
    "bad key": (
        lambda c: configs.define_config(c, replace(MAX_ITEMS, key="A")),
        InvalidInputError,
        "'A' is not a valid config key",
    ),
    "taken": (
        lambda c: configs.define_config(c, MAX_ITEMS),
        ConflictError,
        "the config 'max_items' exists already",
    ),
    "bad schema": (
        lambda c: configs.define_config(c, replace(MAX_ITEMS, key="b", schema={"type": "x"})),
        InvalidInputError,
        "not a valid JSON Schema: at $.type",
    ),
    "schema against a value": (
        lambda c: configs.update_config(c, "max_items", configs.Edit(schema={"maximum": 4})),
        InvalidInputError,
        "the value in dev does not fit its schema: 5 is greater",
    ),
    "nothing to change": (
        lambda c: configs.update_config(c, "max_items", configs.Edit()),
        InvalidInputError,
        "nothing to change is named",
    ),
    "unknown": (value(1, "max_itmes"), NotFoundError, "there is no config 'max_itmes'"),
    "unknown environment": (value(1, environment="x"), NotFoundError, "no environment 'x'"),
    "null": (value(None), InvalidInputError, "the value of max_items cannot be null"),
    "wrong type": (value("5"), InvalidInputError, 'is an integer, and "5" is a string'),
    "a number that is no integer": (value(5.0), InvalidInputError, "5.0 is a number"),
    "true is no integer": (value(True), InvalidInputError, "true is a boolean"),
    "too large for the schema": (value(101), InvalidInputError, "101 is greater than"),
    "protected": (value(5, environment="locked"), ConfirmationNeededError, "locked is protected"),
    "delete unknown": (
        lambda c: configs.delete_config(c, "baner"),
        NotFoundError,
        "there is no config 'baner'",
    ),
}
ENVIRONMENTS: dict[str, Refusal] = {
    "taken": (
        lambda c: environments.create_environment(c, "dev"),
        ConflictError,
        "the environment 'dev' exists already",
    ),
    "bad key": (
        lambda c: environments.create_environment(c, "Dev"),
        InvalidInputError,
        "'Dev' is not a valid environment key",
    ),
    "bad description": (
        lambda c: environments.create_environment(c, "new", description="\x1b[31m"),
        InvalidInputError,
        "the description has a character that does not print",
    ),
    "unprotect unasked": (
        lambda c: environments.update_environment(c, "locked", environments.Edit(confirm=False)),
        ConfirmationNeededError,
        "locked is protected",
    ),
    "nothing to change": (
        lambda c: environments.update_environment(c, "dev", environments.Edit()),
        InvalidInputError,
        "nothing to change is named",
    ),
    "delete with data": (
        lambda c: environments.delete_environment(c, "dev"),
        ConfirmationNeededError,
        "dev still has 1 flag states, 1 config values, 1 API keys, 1 member roles",
    ),
    "delete unknown": (
        lambda c: environments.delete_environment(c, "pord"),
        NotFoundError,
        "there is no environment 'pord'",
    ),
}
PAST = datetime(2020, 1, 1, tzinfo=UTC)
KEYS: dict[str, Refusal] = {
    "taken": (
        lambda c: api_keys.create_key(c, "web", "dev"),
        ConflictError,
        "dev has a key named 'web' already",
    ),
    "no name": (lambda c: api_keys.create_key(c, " ", "dev"), InvalidInputError, "is empty"),
    "long name": (
        lambda c: api_keys.create_key(c, "x" * 129, "dev"),
        InvalidInputError,
        "the name is longer than 128",
    ),
    "expired": (
        lambda c: api_keys.create_key(c, "x", "dev", expires_at=PAST),
        InvalidInputError,
        "would have expired already",
    ),
    "revoke unknown": (
        lambda c: api_keys.revoke_key(c, "wbe", "dev"),
        NotFoundError,
        "dev has no live key 'wbe'",
    ),
    "rotate elsewhere": (
        lambda c: api_keys.rotate_key(c, "web", "prod", overlap=timedelta(days=1)),
        NotFoundError,
        "prod has no live key 'web'",
    ),
}
MEMBERS: dict[str, Refusal] = {
    "no e-mail": (
        lambda c: members.add_member(c, "ann", Role.VIEWER, None),
        InvalidInputError,
        "'ann' is no e-mail address",
    ),
    "two @": (
        lambda c: members.add_member(c, "a@b@c", Role.VIEWER, None),
        InvalidInputError,
        "is no e-mail address",
    ),
    "looks like a foreign actor": (
        lambda c: members.add_member(c, "urn:x#a@b", Role.VIEWER, None),
        InvalidInputError,
        "is no e-mail address",
    ),
    "unknown environment": (
        lambda c: members.add_member(c, "a@b.c", Role.VIEWER, "x"),
        NotFoundError,
        "there is no environment 'x'",
    ),
    "remove unknown": (
        lambda c: members.remove_member(c, "de@example.com", None),
        NotFoundError,
        "'de@example.com' has no role",
    ),
    "remove elsewhere": (
        lambda c: members.remove_member(c, "ed@example.com", "prod"),
        NotFoundError,
        "'ed@example.com' has no role in prod",
    ),
    "remove the last admin": (
        lambda c: members.remove_member(c, ADMIN_EMAIL, None),
        ConflictError,
        f"{ADMIN_EMAIL} is the last admin of default",
    ),
    "demote the last admin": (
        lambda c: members.add_member(c, ADMIN_EMAIL, Role.VIEWER, None),
        ConflictError,
        f"{ADMIN_EMAIL} is the last admin of default",
    ),
    "revoke nonsense": (
        lambda c: tokens.revoke_token(c, "x"),
        InvalidInputError,
        "'x' is no token id",
    ),
    "revoke unknown": (
        lambda c: tokens.revoke_token(c, "0" * 32),
        NotFoundError,
        f"there is no token {'0' * 32}",
    ),
    "set up twice": (
        lambda c: installation.initialise(c, "a@b.c"),
        ConflictError,
        "this installation is set up already",
    ),
}
ALL = {
    f"{noun}: {name}": refusal
    for noun, table in {
        "flag": FLAGS,
        "override": OVERRIDES,
        "config": CONFIGS,
        "environment": ENVIRONMENTS,
        "key": KEYS,
        "member": MEMBERS,
    }.items()
    for name, refusal in table.items()
}


@pytest.fixture
def untouched(seeded: Installation) -> Iterator[Installation]:
    """Nothing may differ after the test: no event, no revision."""
    before = (seeded.last_event(), seeded.revisions())
    yield seeded
    assert (seeded.last_event(), seeded.revisions()) == before


@pytest.mark.parametrize("name", ALL)
def test_a_refusal_says_what_and_leaves_nothing(name: str, untouched: Installation) -> None:
    call, kind, words = ALL[name]
    with pytest.raises(FlagctlError) as caught, untouched.change() as change:
        call(change)
    assert type(caught.value) is kind
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("call", "hint"),
    [
        (update("tehme", owner="x"), "did you mean theme?"),
        (value(1, "max_itmes"), "did you mean max_items?"),
        (ENVIRONMENTS["delete unknown"][0], "did you mean prod?"),
        (OVERRIDES["unknown variant"][0], "did you mean blue?"),
        (KEYS["revoke unknown"][0], "did you mean web?"),
        (MEMBERS["remove unknown"][0], "did you mean ed@example.com or admin@example.com?"),
        (FLAGS["taken by an archived one"][0], "`flagctl unarchive old_flag` brings it back"),
        (FLAGS["delete unknown"][0], "see `flagctl list`"),
    ],
)
def test_a_refusal_says_what_to_do(call: Call, hint: str, seeded: Installation) -> None:
    with pytest.raises(FlagctlError) as caught, seeded.change() as change:
        call(change)
    assert caught.value.hint == hint


@pytest.mark.parametrize("lifetime", [timedelta(seconds=59), timedelta(hours=24, seconds=1)])
def test_a_token_lives_within_its_issuers_limit(
    lifetime: timedelta, untouched: Installation
) -> None:
    with pytest.raises(InvalidInputError, match="a token lives between one minute and"):
        untouched.issue(ADMIN_EMAIL, lifetime=lifetime)


def test_a_token_for_somebody_who_is_no_member(untouched: Installation) -> None:
    with pytest.raises(NotFoundError, match=r"'adm@example\.com' is not a member of default"):
        untouched.issue("adm@example.com")
