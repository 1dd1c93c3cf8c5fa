"""Each operator against attributes of every type."""

from collections.abc import Callable
from typing import Any

import pytest

from core.evaluation.conditions import Scope, compile_condition
from core.evaluation.engine import compile_segments
from core.evaluation.faults import Fault
from core.evaluation.limits import Limits
from core.evaluation.operators import MANY, NONE, OPERATORS


def holds(op: str, operand: Any, attribute: Any, limits: Limits | None = None) -> bool:
    name = "values" if op in MANY else "value"
    document = {"attr": "a", "op": op} | ({} if op in NONE else {name: operand})
    scope = Scope(limits=limits) if limits else Scope()
    return compile_condition(document, scope)({} if attribute is None else {"a": attribute})


TRUE = [
    *[("eq", "x", "x"), ("eq", 1, 1.0), ("eq", 10**30, 10**30), ("eq", True, True)],
    *[("ne", "x", "y"), ("ne", "x", None), ("ne", 1, True), ("ne", 1, "1"), ("ne", "x", ["x"])],
    *[("in", ["x", 1], "x"), ("in", [1], 1.0), ("in", [True], True), ("in", ["x"], ["y", "x"])],
    *[("not_in", ["x"], "y"), ("not_in", ["x"], None), ("not_in", [1], True)],
    *[("lt", 2, 1.5), ("lte", 2, 2), ("gt", "a", "b"), ("gte", "b", "b"), ("lt", 10**400, 1)],
    *[("contains", "b", "abc"), ("contains", "b", ["a", "b"]), ("contains", 1, [2, 1.0])],
    *[("starts_with", "ab", "abc"), ("ends_with", "bc", "abc"), ("starts_with", "", "")],
    *[("matches", "^(?i)a.*", "Abc"), ("matches", "b", "abc"), ("matches", "é", "café")],
    *[("exists", None, 0), ("exists", None, False), ("exists", None, "")],
    *[("cidr", ["10.0.0.0/8"], "10.1.2.3"), ("cidr", ["10.0.0.0/8"], "::ffff:10.0.0.1")],
    *[("cidr", ["2001:db8::/32"], "2001:db8::1"), ("cidr", ["1.2.3.4"], "1.2.3.4")],
    *[("semver_eq", "1.0.0", "1.0.0+build"), ("semver_lt", "1.0.0", "1.0.0-rc.1")],
    *[("semver_gt", "1.0.0-alpha.1", "1.0.0-alpha.beta"), ("semver_gte", "2.1.0", "2.10.0")],
    *[("semver_lt", "1.0.0-rc.11", "1.0.0-rc.2"), ("semver_lte", "1.0.0", "1.0.0")],
    *[("before", "2026-01-01T00:00:00Z", "2025-12-31T23:59:59.999Z")],
    *[("after", "2026-01-01T00:00:00+02:00", "2025-12-31T22:00:01Z")],
]
FALSE = [
    *[("eq", 1, True), ("eq", True, 1), ("eq", "1", 1), ("eq", "x", None), ("eq", 1, "1")],
    *[("in", [1], True), ("in", [True], 1), ("in", ["x"], [["x"]]), ("in", [], "x")],
    *[("not_in", ["x"], ["y", "x"]), ("ne", 1, 1.0)],
    *[("lt", 2, "1"), ("lt", "2", 1), ("gt", 0, True), ("lt", 1, None), ("lt", 1, [0])],
    *[("lte", 1, 2), ("gte", 2, 1), ("ends_with", "a", "ab"), ("semver_lte", "1.0.0", "1.0.1")],
    *[("semver_gte", "1.0.0", "1.0.0-rc.1")],
    *[("contains", "b", {"b": 1}), ("contains", 1, "1"), ("contains", True, [1])],
    *[("starts_with", "a", ["a"]), ("matches", "^b", "ab"), ("matches", "a", "\ud800")],
    *[("exists", None, None)],
    *[("cidr", ["10.0.0.0/8"], "11.0.0.1"), ("cidr", ["10.0.0.0/8"], 10), ("cidr", ["::/0"], "x")],
    *[("semver_eq", "1.0.0", "1.0"), ("semver_eq", "1.0.0", "v1.0.0"), ("semver_lt", "2.0.0", 1)],
    *[("semver_gt", "1.0.0", "01.0.0"), ("semver_gt", "1.0.0", "2.0.0-")],
    *[("before", "2026-01-01T00:00:00Z", "2025-12-31"), ("after", "2020-01-01T00:00:00Z", 1)],
]


@pytest.mark.parametrize(("op", "operand", "attribute"), TRUE)
def test_it_holds(op: str, operand: Any, attribute: Any) -> None:
    assert holds(op, operand, attribute) is True


@pytest.mark.parametrize(("op", "operand", "attribute"), FALSE)
def test_it_does_not_hold(op: str, operand: Any, attribute: Any) -> None:
    assert holds(op, operand, attribute) is False


def test_every_operator_is_tried_both_ways() -> None:
    assert {case[0] for case in TRUE} == {case[0] for case in FALSE} == OPERATORS.keys()


@pytest.mark.parametrize(
    ("op", "operand", "place"),
    [
        ("eq", None, "value"),
        ("eq", [1], "value"),
        ("eq", float("nan"), "value"),
        ("in", "x", "values"),
        ("in", [None], "values[0]"),
        ("in", ["x", {}], "values[1]"),
        ("lt", True, "value"),
        ("lt", float("inf"), "value"),
        ("starts_with", 1, "value"),
        ("matches", "(", "value"),
        ("matches", r"(?=a)", "value"),
        ("matches", "a" * 1_001, "value"),
        ("cidr", ["10.0.0.1/8"], "values[0]"),
        ("cidr", ["x"], "values[0]"),
        ("cidr", [], "values"),
        ("semver_gte", "1.0", "value"),
        ("before", "2026-01-01", "value"),
        ("before", "2026-13-01T00:00:00Z", "value"),
        ("in", list(range(10_001)), "values"),
    ],
)
def test_a_bad_operand_is_refused_with_its_place(op: str, operand: Any, place: str) -> None:
    with pytest.raises(Fault) as raised:
        holds(op, operand, "x")
    assert raised.value.path == place


@pytest.mark.parametrize(
    ("document", "place"),
    [
        (False, ""),
        ({}, ""),
        ([], ""),
        ({"all": {}}, "all"),
        ({"all": [True, {"any": [1]}]}, "all[1].any[0]"),
        ({"not": {"attr": "a", "op": "equals", "value": 1}}, "not.op"),
        ({"attr": "a..b", "op": "exists"}, "attr"),
        ({"attr": "", "op": "exists"}, "attr"),
        ({"attr": "a", "op": "eq"}, "value"),
        ({"attr": "a", "op": "eq", "value": 1, "more": 1}, "more"),
        ({"all": [], "any": []}, "any"),
        ({"segment": "x"}, "segment"),
        ({"segment": []}, "segment"),
    ],
)
def test_a_bad_condition_is_refused_with_its_place(document: Any, place: str) -> None:
    with pytest.raises(Fault) as raised:
        compile_condition(document, Scope())
    assert raised.value.path == place


def test_conditions_have_bounds() -> None:
    deep: Any = True
    for _ in range(40):
        deep = {"not": deep}
    with pytest.raises(Fault, match="nested deeper than 32"):
        compile_condition(deep, Scope())
    with pytest.raises(Fault, match="more than 1000 conditions"):
        compile_condition({"all": [{"all": []}] * 1_001}, Scope())


def test_a_segment_counts_wherever_it_is_named() -> None:
    """Else a short chain of them could double the work with each link, or end the stack."""

    def chain(link: Callable[[Any], Any], length: int) -> dict[str, Any]:
        found: dict[str, Any] = {"s0": {"attr": "a", "op": "exists"}}
        for number in range(1, length):
            found[f"s{number}"] = link({"segment": f"s{number - 1}"})
        return dict(compile_segments(found, Limits(depth=9, nodes=100)))

    doubled = chain(lambda inner: {"all": [inner, inner]}, 20)
    assert [s.nodes for s in doubled.values()] == [1, 5, 13, 29, 61]
    deeper = chain(lambda inner: {"not": {"not": inner}}, 20)
    assert [s.depth for s in deeper.values()] == [1, 4, 7]
    twice, below = {"any": [{"segment": "s4"}] * 2}, {"not": {"not": {"segment": "s2"}}}
    for segments, condition, depth, limit in (
        (doubled, twice, 11, "nodes"),
        (deeper, below, 9, "depth"),
    ):
        with pytest.raises(Fault) as raised:
            compile_condition(condition, Scope(segments, Limits(depth=depth, nodes=100)))
        assert raised.value.limit == limit


def test_a_path_reaches_into_objects() -> None:
    condition = compile_condition({"attr": "user.plan", "op": "eq", "value": "pro"}, Scope())
    assert condition({"user": {"plan": "pro"}}) is True
    assert condition({"user": "pro"}) is False
    assert condition({"user.plan": "pro"}) is False
