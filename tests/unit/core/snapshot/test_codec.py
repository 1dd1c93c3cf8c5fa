"""Snapshots as bytes: the same comes back, and nothing that was touched does."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.auth import stream_urls
from core.snapshot import codec
from core.snapshot.document import Auth, Config, Served, Version
from tests.support.json_values import TEXTS, VALUES, same
from tests.support.snapshots import ENVIRONMENT_ID, flag, snapshot

SECRET = b"s" * 32


def test_what_was_sealed_comes_back() -> None:
    served = Served(
        (flag(version="a1", expires_at=datetime(2027, 1, 31, tzinfo=UTC)), flag("b")), ()
    )
    original = snapshot(7, served=served)
    found = codec.unseal(codec.seal(original, SECRET), SECRET)
    assert found.auth.stream_secret == stream_urls.secret_of(SECRET, ENVIRONMENT_ID)
    assert found == original


def test_the_secret_of_streams_is_not_in_the_bytes() -> None:
    loaded = replace(snapshot(), auth=Auth({}, stream_secret=b"needle"))
    assert b"needle" not in codec.encode(loaded)
    assert "needle" not in repr(loaded)


@given(st.dictionaries(TEXTS, VALUES, min_size=1, max_size=4), TEXTS)
def test_every_value_comes_back_unchanged(variants: dict[str, Any], key: str) -> None:
    name = next(iter(variants))
    ruleset = flag(key, variants=variants, on_variant=name, off_variant=name)
    original = snapshot(served=Served((ruleset,), (Config(key, "string", True, key),)))
    decoded = codec.decode(codec.encode(original))
    assert same(dict(decoded.served.flags[0].variants), variants)
    assert decoded == original


@pytest.mark.parametrize(
    "change",
    [
        {"environment_id": "fedcba9876543210"},
        {"version": Version("7000.1.1", 8, "stamp-7")},
        {"version": Version("7000.1.2", 7, "stamp-7")},
        {"version": Version("7000.1.1", 7, "another")},
        {"mac": b"\0" * 32},
        {"mac": b""},
        {"data": b"{}"},
    ],
)
def test_anything_altered_is_refused(change: dict[str, Any]) -> None:
    sealed = replace(codec.seal(snapshot(7), SECRET), **change)
    with pytest.raises(codec.RefusedError, match="seal"):
        codec.unseal(sealed, SECRET)


def test_another_secret_is_refused() -> None:
    with pytest.raises(codec.RefusedError, match="the seal is wrong"):
        codec.unseal(codec.seal(snapshot(), b"other" * 8), SECRET)


@pytest.mark.parametrize("format_", [0, 2, 4, "3", None, 3.5])
def test_another_format_is_refused(format_: object) -> None:
    document = json.loads(codec.encode(snapshot())) | {"format": format_}
    with pytest.raises(codec.RefusedError, match="format"):
        codec.decode(json.dumps(document).encode())


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"[]", b"null", b"{", b'{"format": 1}', b"[" * 100_000]
)
def test_what_is_no_snapshot_is_refused(data: bytes) -> None:
    with pytest.raises(codec.RefusedError):
        codec.decode(data)


@given(st.binary(max_size=64))
def test_random_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(codec.RefusedError):
        codec.decode(data)


def test_a_seal_of_one_environment_does_not_fit_another() -> None:
    sealed = codec.seal(snapshot(environment_id="f" * 16), SECRET)
    with pytest.raises(codec.RefusedError):
        codec.unseal(replace(sealed, environment_id=ENVIRONMENT_ID), SECRET)
