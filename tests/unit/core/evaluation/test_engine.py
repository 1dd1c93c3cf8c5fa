"""A flag's value without a context, and its reason."""

import pytest

from core.evaluation.engine import evaluate
from core.evaluation.result import Reason, Result
from core.evaluation.ruleset import Ruleset, prepare
from core.json_text import JsonValue

VARIANTS: dict[str, JsonValue] = {"on": 1, "off": 2, "third": 3}


def flag(
    *,
    default: bool = True,
    override: bool | None = None,
    targeting: JsonValue = None,
    archived: bool = False,
) -> Ruleset:
    return prepare(
        key="f",
        type="integer",
        variants=VARIANTS,
        on_variant="on",
        off_variant="off",
        default_enabled=default,
        override_enabled=override,
        targeting=targeting,
        archived=archived,
    )


@pytest.mark.parametrize(
    ("default", "override", "expected"),
    [
        (True, None, Result("f", 1, "on", Reason.STATIC)),
        (False, None, Result("f", 2, "off", Reason.DISABLED)),
        (False, True, Result("f", 1, "on", Reason.STATIC)),
        (True, False, Result("f", 2, "off", Reason.DISABLED)),
    ],
)
def test_the_override_beats_the_default(
    default: bool, override: bool | None, expected: Result
) -> None:
    assert evaluate(flag(default=default, override=override)) == expected


def test_an_archived_flag_is_absent() -> None:
    assert evaluate(flag(archived=True)) is None


def test_serve_names_another_variant() -> None:
    targeting: JsonValue = {"format": 1, "serve": {"variant": "third"}, "rules": []}
    assert evaluate(flag(targeting=targeting)) == Result("f", 3, "third", Reason.STATIC)


def test_off_beats_serve() -> None:
    targeting: JsonValue = {"format": 1, "serve": {"variant": "third"}}
    found = evaluate(flag(override=False, targeting=targeting))
    assert found == Result("f", 2, "off", Reason.DISABLED)


@pytest.mark.parametrize(
    "targeting",
    [
        {"format": 2, "rules": []},
        {"format": 1, "rules": [{"if": {}}]},
        {"format": 1, "serve": {"variant": "gone"}},
        {"format": 1, "serve": {"split": []}},
        {"format": 1, "serve": "third"},
        {},
        [],
        "x",
    ],
)
def test_targeting_that_cannot_be_read_serves_the_off_variant(targeting: JsonValue) -> None:
    assert evaluate(flag(targeting=targeting)) == Result("f", 2, "off", Reason.ERROR)


def test_empty_targeting_changes_nothing() -> None:
    found = evaluate(flag(targeting={"format": 1, "rules": []}))
    assert found == Result("f", 1, "on", Reason.STATIC)
