"""The engine against an evaluator that shares nothing with it.

Random environments find what nobody thought of; tables make sure of what chance would rarely hit:
each operator against values of each kind, and the buckets at the ends of arms.
"""

import ast
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

import mmh3
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.evaluation.conditions import Scope, compile_condition
from core.evaluation.engine import Engine
from core.evaluation.faults import Fault
from core.evaluation.operators import MANY, OPERATORS
from core.evaluation.ruleset import Ruleset
from tests.support import naive_evaluator
from tests.support.rulesets import EXPIRIES, NOW, VARIANTS, contexts, environments

MOMENTS = [moment for moment in EXPIRIES if moment is not None]
SCALARS: list[Any] = [
    *["", "a", "b", "ab", "é", "1", "true", "10.0.0.1", "10.0.0.0/8", "::1", "::/0", "(?i)AB"],
    *["1.0.0", "1.0", "01.0.0", "1.0.0+7", "1.0.0-rc.1", "1.0.0-rc.2", "1.0.0-rc.10", "1.0.0-1"],
    *["1.0.0-rc", "1.0.0-rc.1.x", "1.10.0", "1.2.0", "v1.0.0", "1.0.0-"],
    *["2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", "2026-01-01t00:00:00.5z", "2026-01-01"],
    *[0, 1, -1, 10**30, 2**53 + 1, -(2**66), 1.0, 0.5, -0.0, 1e21, True, False],
]
VALUES: list[Any] = [None, *SCALARS, [], ["a", 1], [True], [1.0, "ab"], [None], {"a": 1}]


def agree(flags: list[Ruleset], segments: Any, context: Any, moment: datetime) -> None:
    documents = {flag.key: asdict(flag) for flag in flags}
    engine = Engine(flags, segments, at=moment)
    for flag in flags:
        wanted = naive_evaluator.evaluate(documents, segments, flag.key, context, moment)
        result = engine.evaluate(flag.key, context)
        assert result is not None
        found = result._asdict()
        assert found.pop("value") == flag.variants[wanted.variant]
        assert found == {"key": flag.key, **asdict(wanted)}


@settings(max_examples=80)
@given(environments(), st.lists(contexts(), min_size=3, max_size=3), st.sampled_from(MOMENTS))
def test_random_environments(environment: Any, asked: list[Any], moment: datetime) -> None:
    flags, segments = environment
    for context in asked:
        agree(flags, segments, context, moment)


@pytest.mark.parametrize("op", sorted(OPERATORS))
def test_each_operator(op: str) -> None:
    compared = 0
    for operand in [[], *([one] for one in SCALARS), ["a", 1, True]] if op in MANY else SCALARS:
        document = {"attr": "x.y", "op": op, "values" if op in MANY else "value": operand}
        if op == "exists":
            del document["value"]
        try:
            engine = compile_condition(document, Scope())
        except Fault:
            continue  # what may not be written needs no meaning
        for value in VALUES:
            context = {"x": {"y": value}}
            assert engine(context) is naive_evaluator.holds(document, {}, context), (operand, value)
            compared += 1
    assert compared >= len(VALUES)


def split(weights: list[float], *attributes: str) -> dict[str, Any]:
    arms = [
        {"serve": {"variant": "on" if number % 2 else "off"}, "weight": weight}
        for number, weight in enumerate(weights)
    ]
    return {
        "split": {"arms": arms, **({"by": {"attributes": [*attributes]}} if attributes else {})}
    }


def flag(key: str = "f", **targeting: Any) -> Ruleset:
    document = {"format": 1, **targeting}
    return Ruleset(key, "boolean", VARIANTS, "on", "off", True, document, "salt")


@cache
def keys_at_the_ends() -> list[str]:
    """Targeting keys of the buckets at which the arms below begin and end."""
    wanted = {0, 1, 33_332, 33_333, 33_334, 49_999, 50_000, 66_665, 66_666, 66_667, 99_999}
    found = []
    for number in count():
        bucket = mmh3.hash(f"salt:u{number}", 0, signed=False) % 100_000
        if bucket in wanted:
            wanted.remove(bucket)
            found.append(f"u{number}")
            if not wanted:
                return found
    raise AssertionError


@pytest.mark.parametrize(
    "weights", [[1], [0, 1], [1, 1], [1, 2], [2, 1], [1, 1, 1], [0, 1, 0, 1], [1, 99_999]]
)
def test_the_ends_of_arms(weights: list[float]) -> None:
    flags = [flag(serve=split(weights))]
    engine, documents = Engine(flags, at=NOW), {"f": asdict(flags[0])}
    for key in keys_at_the_ends():
        context = {"targetingKey": key}
        found = engine.evaluate("f", context)
        wanted = naive_evaluator.evaluate(documents, {}, "f", context, NOW)
        assert found is not None
        assert found.variant == wanted.variant, key


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_what_splits_go_by(value: Any) -> None:
    rule = {"id": "r", "when": True, "serve": split([1, 1], "a", "b.c")}
    for context in ({"a": value}, {"a": value, "b": {"c": "x"}}, {"b": {"c": value}}, {"b": value}):
        agree([flag(rules=[rule]), flag("g", serve=split([1, 1], "a", "b.c"))], {}, context, NOW)


def prerequisites() -> Iterator[list[Ruleset]]:
    """A flag that requires another, which is anything that a flag can be."""
    others = [
        flag("other"),
        flag("other", serve={"variant": "off"}),
        flag("other", serve=split([1, 1])),
        replace(flag("other"), enabled=False),
        replace(flag("other"), expires_at=NOW),
    ]
    for other in others:
        for variants in (["on"], ["off"], ["on", "off"]):
            requires = [{"flag": "other", "variants": variants}]
            yield [flag(requires=requires), other]


@pytest.mark.parametrize("context", [{}, {"targetingKey": "u1"}, {"targetingKey": "u2"}])
def test_prerequisites(context: Any) -> None:
    for flags in prerequisites():
        agree(flags, {}, context, NOW)


def test_they_share_no_code() -> None:
    tree = ast.parse(Path(naive_evaluator.__file__).read_text())
    imported = {
        alias.name if isinstance(node, ast.Import) else node.module or ""
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    assert not [name for name in imported if name.startswith(("core", "readserver", "flagctl"))]
