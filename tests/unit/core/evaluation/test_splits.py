"""Buckets: stable, even, half open; more for one arm never moves whoever was in."""

from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.bucketing import compile_bucketing
from core.evaluation.conditions import Scope
from core.evaluation.engine import Engine
from core.evaluation.faults import Fault
from core.evaluation.numbers import text_of
from core.evaluation.ruleset import Ruleset
from core.evaluation.targeting import Subject, compile_targeting
from tests.support.rulesets import NOW

# (salt, value) → bucket; MurmurHash3 x86 32 of "salt:value", modulo 100,000. Never to be changed.
VECTORS = [
    ("", "", 37_430),
    ("salt", "user-1", 66_604),
    ("salt", "user-2", 22_170),
    ("3fa9c1d2", "alice@example.com", 86_828),
    ("s", "日本語", 94_236),
    ("s", "é", 47_214),
    ("s", "1e+21", 74_656),
    ("a:b", "c", 18_997),
    ("a", "b:c", 18_997),
    ("x" * 200, "y" * 200, 4_790),
]


@pytest.mark.parametrize(("salt", "value", "bucket"), VECTORS)
def test_the_buckets_never_change(salt: str, value: str, bucket: int) -> None:
    assert compile_bucketing(None, salt)({"targetingKey": value}) == bucket


def murmur3(data: bytes, seed: int = 0) -> int:
    """MurmurHash3 x86 32, written down from its definition."""
    mask = 2**32 - 1

    def rotated(x: int, by: int) -> int:
        return ((x << by) | (x >> (32 - by))) & mask

    def mixed(block: int) -> int:
        return rotated(block * 0xCC9E2D51 & mask, 15) * 0x1B873593 & mask

    found = seed
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        found ^= mixed(int.from_bytes(data[at : at + 4], "little"))
        found = (rotated(found, 13) * 5 + 0xE6546B64) & mask
    found ^= mixed(int.from_bytes(data[whole:], "little"))
    found ^= len(data)
    found = (found ^ found >> 16) * 0x85EBCA6B & mask
    found = (found ^ found >> 13) * 0xC2B2AE35 & mask
    return found ^ found >> 16


@given(st.text(), st.text())
def test_buckets_are_those_of_the_definition(salt: str, value: str) -> None:
    text = f"{salt}:{value}".encode("utf-8", "surrogatepass")
    assert compile_bucketing(None, salt)({"targetingKey": value}) == murmur3(text) % 100_000


def served(percent: float, key: Any, by: Any = None) -> bool:
    arms = [
        {"serve": {"variant": "on"}, "weight": percent},
        {"serve": {"variant": "off"}, "weight": float(100 - Fraction(str(percent)))},
    ]
    split = {"arms": arms} | ({"by": by} if by else {})
    flag = Ruleset(
        "f",
        "boolean",
        {"on": True, "off": False},
        "on",
        "off",
        True,
        {"format": 1, "serve": {"split": split}},
        "salt",
    )
    result = Engine([flag], at=NOW).evaluate("f", {"targetingKey": key})
    assert result is not None
    return result.value is True


@given(st.floats(0, 100, allow_nan=False), st.floats(0, 100, allow_nan=False), st.text())
def test_raising_a_rollout_never_moves_whoever_was_in(a: float, b: float, key: str) -> None:
    low, high = sorted((round(a, 3), round(b, 3)))
    assert not served(low, key) or served(high, key)


@pytest.mark.parametrize(("percent", "expected"), [(0, set()), (100, {True})])
def test_nobody_and_everybody(percent: float, expected: set[bool]) -> None:
    found = {served(percent, f"user-{n}") for n in range(2_000)}
    assert found == (expected or {False})


def test_shares_are_kept() -> None:
    counted = Counter(served(25, f"user-{n}") for n in range(20_000))
    assert abs(counted[True] / 20_000 - 0.25) < 0.01


def test_numbers_and_their_equals_share_a_bucket() -> None:
    bucket = compile_bucketing(None, "s")
    assert bucket({"targetingKey": 1}) == bucket({"targetingKey": 1.0})
    assert bucket({"targetingKey": 1}) == bucket({"targetingKey": "1"})
    assert bucket({"targetingKey": True}) == bucket({"targetingKey": "true"})
    nothing: list[Any] = [None, [], {}]
    assert [bucket({"targetingKey": value}) for value in nothing] == [None] * 3
    assert bucket({}) is None


def test_half_a_surrogate_pair_has_a_bucket_too() -> None:
    assert compile_bucketing(None, "s")({"targetingKey": "\ud800"}) is not None


def test_the_first_attribute_that_is_present_counts() -> None:
    bucket = compile_bucketing({"attributes": ["company", "targetingKey"]}, "s")
    assert bucket({"targetingKey": "x"}) == bucket({"company": "x", "targetingKey": "y"})


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.0, "1"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (1e21, "1e+21"),
        (123456789012345680000.0, "123456789012345680000"),
        (1e-6, "0.000001"),
        (1e-7, "1e-7"),
        (1.5e-10, "1.5e-10"),
        (-1.25, "-1.25"),
        (2**53, "9007199254740992"),
        (2**53 + 1, "9007199254740992"),
        (10**21, "1e+21"),
        (10**400, "Infinity"),
        (-(10**400), "-Infinity"),
        (5e-324, "5e-324"),
        (1.7976931348623157e308, "1.7976931348623157e+308"),
        (100, "100"),
        (1234.5, "1234.5"),
    ],
)
def test_numbers_are_written_as_javascript_does(number: float, text: str) -> None:
    assert text_of(number) == text


@pytest.mark.parametrize(
    ("split", "place"),
    [
        ({}, "serve.split.arms"),
        ({"arms": []}, "serve.split.arms"),
        ({"arms": [{"serve": {"variant": "on"}, "weight": 0}]}, "serve.split.arms"),
        ({"arms": [{"serve": {"variant": "on"}, "weight": -1}]}, "serve.split.arms[0].weight"),
        ({"arms": [{"serve": {"variant": "on"}, "weight": True}]}, "serve.split.arms[0].weight"),
        (
            {"arms": [{"serve": {"variant": "on"}, "weight": float("nan")}]},
            "serve.split.arms[0].weight",
        ),
        (
            {"arms": [{"serve": {"variant": "no"}, "weight": 1}]},
            "serve.split.arms[0].serve.variant",
        ),
        (
            {"arms": [{"serve": {"variant": "on"}, "range": [5, 1]}]},
            "serve.split.arms[0].range",
        ),
        (
            {
                "arms": [
                    {"serve": {"variant": "on"}, "range": [0, 10]},
                    {"serve": {"variant": "off"}, "range": [9, 20]},
                ]
            },
            "serve.split.arms[1].range",
        ),
        ({"arms": [{"serve": {"variant": "on"}, "weight": 1}], "by": []}, "serve.split.by"),
        (
            {"arms": [{"serve": {"variant": "on"}, "weight": 1}], "by": {"attributes": ["a."]}},
            "serve.split.by.attributes[0]",
        ),
        (
            {"arms": [{"serve": {"variant": "on"}, "weight": 1}], "by": {"seed": -1}},
            "serve.split.by.seed",
        ),
    ],
)
def test_a_bad_split_is_refused_with_its_place(split: Any, place: str) -> None:
    subject = Subject("f", {"on": True, "off": False}, "on", "salt")
    document = {"format": 1, "serve": {"split": split}}
    with pytest.raises(Fault) as raised:
        compile_targeting(document, subject, Scope())
    assert raised.value.path == place


def test_a_gap_between_ranges_serves_nobody() -> None:
    split = {"arms": [{"serve": {"variant": "on"}, "range": [0, 0]}]}
    rules = [{"id": "r", "when": True, "serve": {"split": split}}]
    flag = Ruleset(
        "f", "boolean", {"on": 1, "off": 2}, "on", "off", True, {"format": 1, "rules": rules}, "s"
    )
    result = Engine([flag], at=NOW).evaluate("f", {"targetingKey": "x"})
    assert result is not None
    assert result.rule is None
