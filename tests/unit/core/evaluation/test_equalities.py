"""A table of rules decides as the rules one by one do."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.engine import Engine
from core.evaluation.equalities import Equality, equality, tabulated
from core.evaluation.ruleset import Ruleset
from tests.support.rulesets import NOW

TEXTS = st.sampled_from(["", "a", "b", "c", "é"])
VALUES = st.one_of(TEXTS, st.none(), st.booleans(), st.integers(0, 1), st.lists(TEXTS, max_size=1))


def engine(conditions: list[Any], serve: Any) -> Engine:
    rules = [
        {"id": f"r{n}", "when": when, "serve": {"variant": f"v{n % 3}"}}
        for n, when in enumerate(conditions)
    ]
    targeting = {"format": 1, "rules": rules, "serve": serve}
    variants = {f"v{n}": n for n in range(3)}
    return Engine([Ruleset("f", "integer", variants, "v0", "v1", True, targeting, "salt")], at=NOW)


@given(
    texts=st.lists(TEXTS, max_size=6),
    value=VALUES,
    key=st.one_of(TEXTS, st.none()),
    splits=st.booleans(),
)
def test_the_same_as_one_by_one(texts: list[str], value: Any, key: Any, splits: bool) -> None:
    arms = [{"serve": {"variant": name}, "weight": 1} for name in ("v1", "v2")]
    serve: Any = {"split": {"arms": arms}} if splits else {"variant": "v0"}
    plain = [{"attr": "x", "op": "eq", "value": text} for text in texts]
    # The same conditions in a form that no table is made of.
    wrapped = [{"all": [{"not": {"not": condition}}, True]} for condition in plain]
    context = {"x": value, "targetingKey": key}
    found = engine(plain, serve).evaluate("f", context)
    assert found == engine(wrapped, serve).evaluate("f", context)


def test_what_is_no_table() -> None:
    equal = {"attr": "x", "op": "eq", "value": "a"}
    assert equality(equal) == Equality("x", "a")
    for other in (True, {"not": equal}, equal | {"value": 1}, equal | {"attr": "x.y"}):
        assert equality(other) is None
    assert tabulated([]) is None
    assert tabulated([(None, None)]) is None
