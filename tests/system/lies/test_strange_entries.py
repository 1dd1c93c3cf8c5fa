"""Entries in Redis that no reader can read: ignored, counted, rebuilt."""

from collections.abc import Callable
from pathlib import Path

import pytest

from core.snapshot import codec
from core.snapshot.document import Snapshot
from tests.support.installations import Installation
from tests.support.lies import Entry, come_true, expect, reading, ready
from tests.support.readers import Prod, Reader, revision_at
from tests.support.traffic import traffic
from tests.support.waiting import eventually


def of_newer_format(secret: bytes, true: Snapshot, data: bytes) -> tuple[bytes, bytes]:
    """Sealed as it should be: a release that forgot that names carry the format wrote it."""
    newer = b'{"format":%d,' % (codec.FORMAT + 1)
    data = data.replace(b'{"format":%d,' % codec.FORMAT, newer)
    assert data.startswith(newer)
    return codec._mac(true.environment_id, true.version, data, secret), data


FOREIGN: dict[str, Callable[[bytes, Snapshot, bytes], tuple[bytes, bytes]]] = {
    "a newer format": of_newer_format,
    "damaged": lambda secret, true, data: (
        codec.seal(true, secret).mac,
        data.replace(b"dark_mode", b"dark_mood"),
    ),
    "cut": lambda secret, true, data: (codec.seal(true, secret).mac, data[:-20]),
    "noise under a good seal": lambda secret, true, _: (
        codec._mac(true.environment_id, true.version, b"\xff" * 999, secret),
        b"\xff" * 999,
    ),
}


@pytest.mark.parametrize("foreign", FOREIGN)
def test_what_this_release_cannot_read_is_ignored_counted_and_rebuilt(
    installation: Installation,
    prod: Prod,
    reader: Reader,
    entry: Entry,
    tmp_path: Path,
    foreign: str,
) -> None:
    secret = bytes(installation.ask("SELECT secret FROM flagctl.snapshot_key")[0][0])
    genuine = entry.read()
    mac, data = FOREIGN[foreign](secret, entry.snapshot(), genuine[b"data"])
    entry.put(genuine | {b"mac": mac, b"data": data})
    beside = entry.key.replace(f":{codec.FORMAT}:", f":{codec.FORMAT + 1}:")
    assert beside != entry.key
    entry.raw.set(beside, "x")
    with (
        traffic(reader.port, prod.server_key, lambda *_: True, clients=2) as clients,
        reading(installation, tmp_path) as second,
    ):
        expect(second, prod)
        assert second.metric("flagctl_snapshots_refused_total") == 1
        assert second.metric("flagctl_postgres_loads_total") == 1
        eventually(lambda: entry.read() == genuine, "it is rebuilt")
        with reading(installation, tmp_path) as third:
            assert third.get("/v1/flags", prod.server_key).headers["x-cache"] == "redis"
        eventually(lambda: min(clients.answers) > 0, "they ask")
    assert clients.failures == []
    assert entry.raw.get(beside) == b"x"


@pytest.mark.parametrize(
    "revision", [2**63, -1, "9" * 3_000_000], ids=["2^63", "negative", "megabytes"]
)
@pytest.mark.parametrize("is_sealed", [True, False], ids=["sealed", "tombstone"])
def test_a_strange_revision_in_the_entry(
    installation: Installation,
    prod: Prod,
    reader: Reader,
    entry: Entry,
    tmp_path: Path,
    revision: object,
    is_sealed: bool,
) -> None:
    true = installation.revisions()["prod"]
    fields = entry.read() | {b"revision": str(revision).encode()}
    if not is_sealed:
        del fields[b"mac"], fields[b"data"]
    entry.put(fields)
    entry.publish(true + 1)
    with reading(installation, tmp_path) as second:
        for asked in (second, reader):
            expect(asked, prod)
            assert revision_at(asked, prod.server_key) == true
        eventually(lambda: entry.is_copy_of(true), "the entry is replaced")
    entry.put(fields)
    come_true(installation, reader, prod, is_on=False)
    true = installation.revisions()["prod"]
    eventually(lambda: entry.is_copy_of(true), "and replaced by a reader that holds it, too")


def test_an_entry_of_another_kind(
    installation: Installation, prod: Prod, reader: Reader, entry: Entry, tmp_path: Path
) -> None:
    for kind in ("string", "list", "set", "stream"):
        put_another_kind(installation, prod, reader, entry, tmp_path, kind=kind)
        ready(installation, reader, prod, entry)


def put_another_kind(
    installation: Installation,
    prod: Prod,
    reader: Reader,
    entry: Entry,
    tmp_path: Path,
    *,
    kind: str,
) -> None:
    true = installation.revisions()["prod"]
    entry.raw.delete(entry.key)
    make: dict[str, Callable[[], object]] = {
        "string": lambda: entry.raw.set(entry.key, "x" * 1_000_000),
        "list": lambda: entry.raw.rpush(entry.key, "epoch", "1"),
        "set": lambda: entry.raw.sadd(entry.key, "data"),
        "stream": lambda: entry.raw.xadd(entry.key, {"data": "x"}),
    }
    make[kind]()
    entry.publish(true + 1)
    with reading(installation, tmp_path) as second:
        for asked in (second, reader):
            expect(asked, prod)
        eventually(lambda: entry.is_copy_of(true), "the entry is replaced")
    come_true(installation, reader, prod, is_on=False)
