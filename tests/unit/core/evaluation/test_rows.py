"""Flags that are asked together answer as each alone does."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.engine import Engine
from core.evaluation.result import Result
from core.evaluation.rows import together
from core.evaluation.ruleset import Ruleset
from tests.support.rulesets import NOW, contexts, environments

TEXTS = st.sampled_from(["", "a", "b", "é", "\ud800"])
VALUES = st.one_of(TEXTS, st.none(), st.booleans(), st.integers(0, 1), st.lists(TEXTS, max_size=1))


def assert_equal(flags: list[Ruleset], segments: Any, context: Any) -> set[str]:
    """The keys of the flags that are rows."""
    engine = Engine(flags, segments, at=NOW)
    programs = engine.programs.values()
    asks = together([(program.decide, program.row) for program in programs], lambda result: result)
    found: list[Result] = [result for ask in asks for result in ask(context)]
    assert len(found) == len(flags)
    assert {result.key: result for result in found} == {
        flag.key: engine.evaluate(flag.key, context) for flag in flags
    }
    return {program.ruleset.key for program in programs if program.row is not None}


@given(environments(), contexts())
def test_any_flags(environment: Any, context: Any) -> None:
    flags, segments = environment
    assert_equal(flags, segments, context)


@given(
    rules=st.lists(st.lists(TEXTS, max_size=3), min_size=1, max_size=6),
    value=VALUES,
    key=st.one_of(VALUES, st.text(max_size=3)),
    by=st.sampled_from([None, "id", "user.id"]),
    has_gap=st.booleans(),
)
def test_flags_of_the_usual_shape(
    rules: list[list[str]], value: Any, key: Any, by: str | None, has_gap: bool
) -> None:
    flags = [
        Ruleset(
            f"f{number}",
            "integer",
            {"v0": 0, "v1": 1, "v2": 2},
            "v0",
            "v1",
            True,
            _targeting(texts, number, by, has_gap=has_gap),
            "salt" if number % 4 else "sälz",
        )
        for number, texts in enumerate(rules)
    ]
    context = {"x": value, "targetingKey": key, "id": key, "user": {"id": key}}
    rows = assert_equal(flags, {}, context)
    if by != "user.id":
        usual = {f"f{n}" for n, texts in enumerate(rules) if n % 4 and (texts or n % 3)}
        assert usual <= rows, "what is no row is slower"


def _targeting(texts: list[str], number: int, by: str | None, *, has_gap: bool) -> dict[str, Any]:
    arms: list[dict[str, Any]] = [
        {"serve": {"variant": "v1"}, "range": [0, 30_000]},
        {"serve": {"variant": "v2"}, "range": [40_000 if has_gap else 30_000, 100_000]},
    ]
    split: dict[str, Any] = {"arms": arms}
    if by is not None:
        split["by"] = {"attributes": [by]}
    return {
        "format": 1,
        "rules": [
            {
                "id": f"r{at}",
                "when": {"attr": "x", "op": "eq", "value": text},
                "serve": {"variant": f"v{at % 3}"},
            }
            for at, text in enumerate(texts)
        ],
        "serve": {"split": split} if number % 3 else {"variant": "v0"},
    }
