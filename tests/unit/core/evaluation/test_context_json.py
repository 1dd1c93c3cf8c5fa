"""Contexts out of JSON: the quick look finds what the thorough one does."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from core.evaluation.context_json import ContextError, _find, _is_fine

_TEXTS = st.sampled_from(["", "a", "é", "\ud800", "a\udfff"])
_LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), _TEXTS, st.sampled_from([1.5, float("inf")])
)
_DEEP: Any = []
for _ in range(40):
    _DEEP = [_DEEP]


@given(
    st.recursive(
        _LEAVES,
        lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(_TEXTS, inner)),
        max_leaves=6,
    )
)
def test_the_quick_look_and_the_thorough_one(value: Any) -> None:
    for shown in (value, {"x": [_DEEP]}, {"x": value}):
        try:
            _find(shown, "context", 32)
        except ContextError:
            assert not _is_fine(shown, 32)
        else:
            assert _is_fine(shown, 32)
