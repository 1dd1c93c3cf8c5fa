"""If-None-Match and Accept-Encoding, as RFC 9110 has them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from readserver.conditional import accepts_gzip, matches
from tests.support.memory import kept_by

TAG = b'"abc"'


@pytest.mark.parametrize(
    "field",
    [b'"abc"', b'W/"abc"', b"*", b" * ", b'"x", "abc"', b'"x","abc","y"', b'W/"x" , W/"abc"'],
)
def test_it_matches(field: bytes) -> None:
    assert matches(field, TAG)


@pytest.mark.parametrize(
    "field", [b"", b'"abcd"', b"abc", b'"ab" "c"', b'"x" garbage, "abc"', b'w/"abc"', b'"abc-gzip"']
)
def test_it_does_not_match(field: bytes) -> None:
    assert not matches(field, TAG)


@pytest.mark.parametrize(
    ("field", "accepted"),
    [
        (b"gzip", True),
        (b"GZIP", True),
        (b"deflate, gzip;q=0.5", True),
        (b"br;q=1.0, *", True),
        (b"x-gzip", True),
        (b"*;q=0", False),
        (b"gzip;q=0", False),
        (b"gzip; q=0.0, *", False),
        (b"gzip;q=banana", False),
        (b"identity", False),
        (b"", False),
        (b"br", False),
        (b"gzip;level=9", True),
        (b"gzip;level=9;q=0", False),
        (b"gzip ; Q = 0.000", False),
        (b"gzip;q=0.001", True),
        (b"gzip;q=nan", False),
        (b"identity;q=0, *;q=0.5", True),
        (b"gzip;q", False),
    ],
)
def test_gzip(field: bytes, accepted: bool) -> None:
    for _ in range(2):
        assert accepts_gzip(field) is accepted
        assert accepts_gzip(b"x" * 60_000 + b"," + field) is accepted


@pytest.mark.parametrize("padding", [b"", b"x" * 60_000], ids=["short", "long"])
def test_little_of_what_clients_send_is_kept(padding: bytes) -> None:
    def ask() -> None:
        for number in range(1_000):
            assert accepts_gzip(b"%d%b, gzip" % (number, padding))

    assert kept_by(ask) < 1_000_000


@given(st.binary(max_size=60))
def test_no_field_is_an_error(field: bytes) -> None:
    matches(field, TAG)
    accepts_gzip(field)
