"""How a flag is decided: the order of the questions, and the reason of each answer."""

from typing import Any

import pytest

from core.evaluation.engine import Engine
from core.evaluation.result import ErrorCode, Reason, Result
from core.evaluation.ruleset import Ruleset
from core.json_text import JsonValue
from tests.support.rulesets import NOW

VARIANTS: dict[str, JsonValue] = {"on": 1, "off": 2, "third": 3}
IN_BERLIN = {"attr": "city", "op": "eq", "value": "Berlin"}


def flag(key: str = "f", *, enabled: bool = True, **targeting: Any) -> Ruleset:
    document = {"format": 1, **targeting} if targeting else None
    return Ruleset(key, "integer", VARIANTS, "on", "off", enabled, document, salt="salt")


def rule(id_: str, serve: Any, when: Any = True) -> dict[str, Any]:
    return {"id": id_, "when": when, "serve": serve}


def split(*arms: tuple[str, float], **by: Any) -> dict[str, Any]:
    found = [{"serve": {"variant": name}, "weight": weight} for name, weight in arms]
    return {"split": {"arms": found, **({"by": by} if by else {})}}


def decided(*flags: Ruleset, context: Any = None, **segments: Any) -> Result:
    """The first flag's."""
    result = Engine(flags, segments, at=NOW).evaluate(flags[0].key, context or {})
    assert result is not None
    return result


def test_a_flag_that_is_not_there_has_no_result() -> None:
    assert Engine([], at=NOW).evaluate("f", {}) is None


def test_off_beats_everything() -> None:
    found = decided(flag(enabled=False, serve={"variant": "third"}, rules=[]))
    assert found == Result("f", 2, "off", Reason.DISABLED)


def test_on_without_rules_is_static() -> None:
    assert decided(flag()) == Result("f", 1, "on", Reason.STATIC)
    assert decided(flag(serve={"variant": "third"})) == Result("f", 3, "third", Reason.STATIC)


def test_the_first_rule_that_matches_serves() -> None:
    rules = [rule("a", {"variant": "off"}, IN_BERLIN), rule("b", {"variant": "third"})]
    found = flag(rules=rules)
    berlin = decided(found, context={"city": "Berlin"})
    assert berlin == Result("f", 2, "off", Reason.TARGETING_MATCH, "a")
    assert decided(found) == Result("f", 3, "third", Reason.TARGETING_MATCH, "b")


def test_no_rule_that_matches_leaves_the_default() -> None:
    found = flag(rules=[rule("a", {"variant": "third"}, IN_BERLIN)])
    assert decided(found) == Result("f", 1, "on", Reason.DEFAULT)


def test_a_rule_with_nothing_to_split_by_does_not_serve() -> None:
    rules = [rule("a", split(("third", 1), company="x"))]
    rules[0]["serve"]["split"]["by"] = {"attributes": ["company"]}
    assert decided(flag(rules=rules)) == Result("f", 1, "on", Reason.DEFAULT)
    found = decided(flag(rules=rules), context={"company": 7})
    assert found == Result("f", 3, "third", Reason.SPLIT, "a")


def test_a_default_split_with_nothing_to_split_by_is_an_error_with_the_off_value() -> None:
    found = decided(flag(serve=split(("on", 1))))
    assert found == Result("f", 2, "off", Reason.ERROR, error=ErrorCode.TARGETING_KEY_MISSING)


def test_a_rule_before_it_answers_without_that_error() -> None:
    found = flag(rules=[rule("a", {"variant": "third"})], serve=split(("on", 1)))
    assert decided(found).error is None


@pytest.mark.parametrize(("variant", "met"), [("on", True), ("third", False)])
def test_a_prerequisite_that_is_not_met_turns_off(variant: str, met: bool) -> None:
    one = flag("one", requires=[{"flag": "two", "variants": ["on"]}])
    found = decided(one, flag("two", serve={"variant": variant}))
    if met:
        assert found == Result("one", 1, "on", Reason.STATIC)
    else:
        assert found == Result("one", 2, "off", Reason.DISABLED, prerequisite="two")


def test_prerequisites_are_asked_with_the_same_context() -> None:
    two = flag("two", rules=[rule("a", {"variant": "third"}, IN_BERLIN)])
    one = flag("one", requires=[{"flag": "two", "variants": ["third"]}])
    assert decided(one, two, context={"city": "Berlin"}).variant == "on"
    assert decided(one, two).prerequisite == "two"


@pytest.mark.parametrize(
    "targeting",
    [
        {"format": 2},
        {"serve": {"variant": "fourth"}},
        {"rules": [rule("a", {"variant": "on"}, {"segment": "gone"})]},
        {"rules": [rule("a", {"variant": "on"}, {"attr": "a", "op": "future", "value": 1})]},
        {"requires": [{"flag": "gone", "variants": ["on"]}]},
        {"requires": [{"flag": "f", "variants": ["on"]}]},
        {"more": 1},
    ],
)
def test_what_cannot_be_read_serves_the_off_variant(targeting: Any) -> None:
    found = decided(flag(**targeting))
    assert found == Result("f", 2, "off", Reason.ERROR, error=ErrorCode.PARSE_ERROR)


def test_a_circle_of_prerequisites_ends() -> None:
    one = flag("one", requires=[{"flag": "two", "variants": ["on"]}])
    two = flag("two", requires=[{"flag": "one", "variants": ["on"]}])
    assert {decided(one, two).variant, decided(two, one).variant} == {"off"}


def test_nobody_asks_without_end() -> None:
    """Ten levels of four flags, each of which requires all four below it: 4 ** 10 questions."""
    flags = [
        flag(
            f"f{level}-{number}",
            requires=[{"flag": f"f{level - 1}-{n}", "variants": ["on"]} for n in range(4)]
            if level
            else [],
        )
        for level in range(10)
        for number in range(4)
    ]
    programs = Engine(flags, at=NOW).programs
    assert [programs[f"f{level}-0"].asks for level in range(5)] == [1, 5, 21, 85, 341]
    assert str(programs["f5-0"].fault) == "requires: more than 500 flags to ask"
    assert all(programs[f"f{level}-0"].decide({}).variant == "off" for level in range(5, 10))


def test_segments_nest() -> None:
    found = flag(rules=[rule("a", {"variant": "third"}, {"segment": "outer"})])
    segments = {"outer": {"not": {"segment": "inner"}}, "inner": IN_BERLIN}
    assert decided(found, **segments).variant == "third"
    assert decided(found, context={"city": "Berlin"}, **segments).variant == "on"


def test_segments_in_a_circle_are_missing() -> None:
    found = flag(rules=[rule("a", {"variant": "third"}, {"segment": "x"})])
    assert decided(found, x={"segment": "y"}, y={"segment": "x"}).reason is Reason.ERROR


def test_all_flags_come_in_their_order_with_the_single_answers() -> None:
    flags = [flag("b", rules=[rule("a", {"variant": "third"}, IN_BERLIN)]), flag("a")]
    engine = Engine(flags, at=NOW)
    context = {"city": "Berlin"}
    assert list(engine.evaluate_all(context)) == [
        engine.evaluate("b", context),
        engine.evaluate("a", context),
    ]
