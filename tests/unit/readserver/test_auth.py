"""API keys on requests."""

import pytest

from core.errors import UnauthenticatedError
from readserver import auth
from tests.support.snapshots import CLIENT_KEY, EXPIRED_KEY, KEY, UNKNOWN_KEY, snapshot


@pytest.mark.parametrize(
    "value",
    [KEY, f"Bearer {KEY}", f"bearer   {KEY}", f"BEARER {KEY}", f" {KEY} ", f"Bearer \t{KEY}\t"],
)
def test_the_forms_of_a_credential(value: str) -> None:
    assert auth.parse(value.encode()) == auth.parse(KEY.encode())


def test_both_headers_and_the_same_key_twice() -> None:
    assert auth.credential([(b"x-api-key", b"k")]) == b"k"
    assert auth.credential([(b"authorization", b"k"), (b"x-api-key", b"k")]) == b"k"


def test_two_keys_are_refused() -> None:
    with pytest.raises(UnauthenticatedError, match="more than one"):
        auth.credential([(b"authorization", b"a"), (b"x-api-key", b"b")])


@pytest.mark.parametrize(
    "value",
    [
        "",
        "x",
        KEY[:-1],
        KEY[:-1] + ("A" if KEY[-1] != "A" else "B"),
        f"Basic {KEY}",
        "ü",
        f"{KEY}\xa0",
        f"Bearer \x85{KEY}",
    ],
)
def test_malformed(value: str) -> None:
    with pytest.raises(UnauthenticatedError, match="malformed"):
        auth.parse(value.encode("latin-1"))


@pytest.mark.parametrize(
    ("value", "is_canonical"),
    [
        (KEY, True),
        (f"Bearer {KEY}", True),
        (f"bearer {KEY}", True),
        (f"BEARER {KEY}", False),
        (f"bEARER {KEY}", False),
        (f" {KEY}", False),
        (f"Bearer  {KEY}", False),
        (f"Bearer \t{KEY}", False),
        (f"{KEY} ", False),
        (" " * 100 + KEY, False),
    ],
)
def test_only_usual_forms_are_remembered(value: str, is_canonical: bool) -> None:
    assert auth.is_canonical(value.encode()) is is_canonical


def test_a_key_of_the_snapshot() -> None:
    assert auth.authenticate(auth.parse(KEY.encode()), snapshot()).id == "aaaa"
    assert auth.authenticate(auth.parse(CLIENT_KEY.encode()), snapshot()).id == "bbbb"


@pytest.mark.parametrize("key", [EXPIRED_KEY, UNKNOWN_KEY])
def test_expired_and_unknown_are_refused_alike(key: str) -> None:
    with pytest.raises(UnauthenticatedError, match="unknown, revoked or expired"):
        auth.authenticate(auth.parse(key.encode()), snapshot())


def test_a_deleted_environment() -> None:
    with pytest.raises(UnauthenticatedError):
        auth.authenticate(auth.parse(KEY.encode()), None)
