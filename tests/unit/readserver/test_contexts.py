"""Contexts out of bodies: the quick look finds what the thorough one does."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from readserver.contexts import ContextError, UnreadableError, _check, _is_fine, parse

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
            _check(shown, "context", 32)
        except ContextError:
            assert not _is_fine(shown, 32)
        else:
            assert _is_fine(shown, 32)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "utf-16-le"])
@pytest.mark.parametrize("text", ['{"context":{"a":"é"}}', ' {"context":{"a":"é"}}\n'])
def test_encodings_are_those_of_json(encoding: str, text: str) -> None:
    assert parse(text.encode(encoding), 32) == json.loads(text)["context"]


@pytest.mark.parametrize(
    "body", [b"", b"{", b'{"context":', b"{}x", b'{"a":1,"a":2}', b"{\x00", b"[]"]
)
def test_what_is_no_object(body: bytes) -> None:
    with pytest.raises(UnreadableError):
        parse(body, 32)
