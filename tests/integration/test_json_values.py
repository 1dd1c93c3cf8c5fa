"""JSON through Postgres and back: an equal value with its types."""

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.json_text import JsonValue, parse, render
from core.queries.configs import get_value
from core.services import configs
from core.value_types import ValueType
from tests.support.installations import Cluster, Installation
from tests.support.json_values import VALUES, same


@pytest.fixture(scope="module")
def store(cluster: Cluster) -> Iterator[Installation]:
    with cluster.installation() as made:
        with made.change() as change:
            configs.define_config(change, configs.Definition("box", ValueType.ARRAY))
        yield made


def through_postgres(store: Installation, values: list[JsonValue]) -> tuple[JsonValue, JsonValue]:
    """What is read again from the table, and from the audit event."""
    with store.change(dry_run=True) as change:
        configs.set_value(change, "box", "dev", values)
        stored: JsonValue = get_value(change.session, "box", "dev")
    logged: JsonValue = change.outcome.events[0].after["value"]
    return stored, logged


EXAMPLES: list[JsonValue] = [
    0,
    -1,
    2**53 + 1,
    2**63,
    -(2**64),
    10**300 + 1,
    10**3_999,
    0.1,
    1.0,
    -0.5,
    100.0,
    1e15,
    1e16,
    -1e16,
    1e17,
    123456789012345680.0,
    1e308,
    1.7976931348623157e308,
    5e-324,
    2.2250738585072014e-308,
    1e-7,
    "",
    "é😀\u2028\x01\x7f\ufffe\U0010ffff",
    '"\\/\b\f\n\r\t',
    True,
    False,
    None,
    [],
    {},
    {"": {"": []}, "b": 1, "a": 1.0, "ключ": "значение"},
]


@pytest.mark.parametrize("value", EXAMPLES, ids=lambda value: repr(value)[:30])
def test_the_corners(value: JsonValue, store: Installation) -> None:
    stored, logged = through_postgres(store, [value])
    assert same(stored, [value])
    assert same(logged, [value])


@settings(max_examples=40)
@given(st.lists(VALUES, min_size=1, max_size=30))
def test_any_value(store: Installation, values: list[JsonValue]) -> None:
    stored, logged = through_postgres(store, values)
    assert same(stored, values)
    assert same(logged, values)
    assert same(parse(render(stored)), values)


def test_the_deepest_value(store: Installation) -> None:
    deep = parse("[" * 64 + "]" * 64)
    assert same(through_postgres(store, [deep])[0], [deep])
