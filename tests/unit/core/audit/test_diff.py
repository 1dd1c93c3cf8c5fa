from typing import Any

import pytest

from core.audit.diff import MISSING, Difference, differences

FLAG: dict[str, Any] = {"format": 1, "key": "a", "version": 1, "variants": {"on": True}, "tags": []}


def test_equal_documents_do_not_differ() -> None:
    assert differences(FLAG, dict(FLAG)) == []
    assert differences(None, None) == []
    assert differences({}, {}) == []


@pytest.mark.parametrize(
    ("change", "difference"),
    [
        ({"key": "b"}, Difference("key", "a", "b")),
        ({"tags": ["x"]}, Difference("tags", [], ["x"])),
        ({"variants": {"on": 1}}, Difference("variants.on", True, 1)),
        ({"variants": {"on": True, "x": None}}, Difference("variants.x", MISSING, None)),
        ({"variants": {}}, Difference("variants.on", True, MISSING)),
        ({"variants": 3}, Difference("variants", {"on": True}, 3)),
        ({"new": {"a": 1}}, Difference("new", MISSING, {"a": 1})),
    ],
)
def test_each_place_that_differs(change: dict[str, Any], difference: Difference) -> None:
    assert differences(FLAG, FLAG | change) == [difference]


@pytest.mark.parametrize(("a", "b"), [(1, 1.0), (True, 1), (0, False), ("1", 1), (None, 0)])
def test_json_types_count(a: object, b: object) -> None:
    assert differences({"v": a}, {"v": b}) == [Difference("v", a, b)]


def test_the_records_own_fields_are_silent_at_the_top_only() -> None:
    assert differences(FLAG, FLAG | {"format": 2, "version": 9}) == []
    before, after = {"v": {"format": 1}}, {"v": {"format": 2}}
    assert differences(before, after) == [Difference("v.format", 1, 2)]


def test_what_is_made_or_deleted_is_shown_leaf_by_leaf() -> None:
    made = [("key", "a"), ("variants", {"on": True}), ("tags", [])]
    assert differences(None, FLAG) == [Difference(path, MISSING, value) for path, value in made]
    assert differences(FLAG, None) == [Difference(path, value, MISSING) for path, value in made]


def test_missing_is_told_from_null() -> None:
    assert differences({}, {"a": None}) == [Difference("a", MISSING, None)]
    assert repr(MISSING) == "(none)"
