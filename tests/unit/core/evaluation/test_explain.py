"""Explaining: the engine's own answer, and the questions that led there."""

from typing import Any

from hypothesis import given

from core.evaluation.engine import Engine
from core.evaluation.explain import explain
from core.evaluation.ruleset import Ruleset
from tests.support.rulesets import NOW, contexts, environments

VARIANTS: dict[str, Any] = {"on": True, "off": False}


@given(environments(), contexts())
def test_explaining_never_disagrees_with_evaluating(environment: Any, context: Any) -> None:
    flags, segments = environment
    engine = Engine(flags, segments, at=NOW)
    for flag in flags:
        found = explain(engine, segments, flag.key, context)
        assert found is not None
        assert found.result == engine.evaluate(flag.key, context)
        winners = [rule.id for rule in found.rules if rule.served]
        assert winners == ([found.result.rule] if found.result.rule else [])


def test_each_part_says_what_it_found() -> None:
    when = {"all": [{"segment": "s"}, {"attr": "n", "op": "gt", "value": 3}]}
    rules = [{"id": "r", "when": when, "serve": {"variant": "off"}}]
    flag = Ruleset(
        "f", "boolean", VARIANTS, "on", "off", True, {"format": 1, "rules": rules}, "salt"
    )
    segments: dict[str, Any] = {"s": {"attr": "plan", "op": "eq", "value": "pro"}}
    found = explain(Engine([flag], segments, at=NOW), segments, "f", {"plan": "pro", "n": 2})
    assert found is not None
    segment, number = found.rules[0].when.parts
    assert (segment.held, segment.parts[0].actual) == (True, "pro")
    assert (number.held, number.actual) == (False, 2)
    assert found.default == {"variant": "on"}


def test_a_flag_that_is_not_there_has_no_explanation() -> None:
    assert explain(Engine([], at=NOW), {}, "f", {}) is None
