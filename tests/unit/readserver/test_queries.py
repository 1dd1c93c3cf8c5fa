"""Query strings."""

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import InvalidInputError
from readserver.queries import parse


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (b"", {}),
        (b"a=1&b=2", {"a": "1", "b": "2"}),
        (b"a=x+y%20z", {"a": "x y z"}),
        (b"a=%C3%BC", {"a": "ü"}),
        (b"a", {"a": ""}),
        (b"&&a=1&", {"a": "1"}),
    ],
)
def test_parameters(query: bytes, expected: dict[str, str]) -> None:
    assert parse(query) == expected


@pytest.mark.parametrize("query", [b"a=%ff", b"a=1&a=2", b"a=%00", b"a=%0a", b"%ed%a0%80=1"])
def test_refused(query: bytes) -> None:
    with pytest.raises(InvalidInputError):
        parse(query)


@given(st.binary(max_size=60))
def test_no_query_is_another_error(query: bytes) -> None:
    with contextlib.suppress(InvalidInputError):
        parse(query)
