"""Finished answers."""

import gzip
import json

from core.auth.api_keys import KeyKind
from core.snapshot.document import Config, Served
from readserver.answers import CONFIGS, FLAGS, prepare
from tests.support.snapshots import flag, snapshot


def test_flags_and_configs_by_kind_of_key() -> None:
    served = Served(
        (flag("a"), flag("b", client_visible=True, enabled=False)),
        (Config("x", "integer", False, "1"), Config("y", "integer", True, "2")),
    )
    answers = prepare(snapshot(served=served)).answers
    assert answers[FLAGS, KeyKind.SERVER].identity.body == b'{"a":true,"b":false}'
    assert answers[FLAGS, KeyKind.CLIENT].identity.body == b'{"b":false}'
    assert answers[CONFIGS, KeyKind.SERVER].identity.body == b'{"x":1,"y":2}'
    assert answers[CONFIGS, KeyKind.CLIENT].identity.body == b'{"y":2}'


def test_nothing_is_an_empty_map() -> None:
    answers = prepare(snapshot(served=Served((), ()))).answers
    assert {v.identity.body for v in answers.values()} == {b"{}"}


def test_a_configs_value_is_not_touched() -> None:
    digits = "9" * 5_000 + ".0000000000000000000001"
    served = Served((), (Config('"ü\\', "number", False, digits),))
    body = prepare(snapshot(served=served)).answers[CONFIGS, KeyKind.SERVER].identity.body
    assert body == ('{"\\"ü\\\\":' + digits + "}").encode()


def test_large_answers_are_compressed_once_and_have_a_tag_of_their_own() -> None:
    served = Served(tuple(flag(f"flag_{i}") for i in range(200)), ())
    variants = prepare(snapshot(served=served)).answers[FLAGS, KeyKind.SERVER]
    assert variants.gzip is not None
    assert gzip.decompress(variants.gzip.body) == variants.identity.body
    assert variants.gzip.etag != variants.identity.etag
    assert (b"content-encoding", b"gzip") in variants.gzip.headers
    assert len(json.loads(variants.identity.body)) == 200


def test_the_tag_depends_on_the_bytes_alone() -> None:
    first, second = (prepare(snapshot(r)).answers[FLAGS, KeyKind.SERVER] for r in (1, 2))
    assert first.identity.etag == second.identity.etag
    other = prepare(snapshot(served=Served((flag(enabled=False),), ()))).answers
    assert other[FLAGS, KeyKind.SERVER].identity.etag != first.identity.etag
