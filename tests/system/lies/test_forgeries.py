"""Copies in Redis that are not prod's, or not its newest: never served, always replaced."""

from collections.abc import Callable
from pathlib import Path

import pytest

from core.auth.api_keys import KeyKind, generate
from core.services import api_keys
from core.services.configs import set_value
from core.snapshot import codec
from core.snapshot.document import Snapshot
from tests.support.installations import Installation
from tests.support.lies import FAR, Entry, come_true, expect, heard, reading, ready, with_forged_key
from tests.support.outages import without_postgres
from tests.support.readers import Prod, Reader, revision_at, wait_for
from tests.support.waiting import eventually

MACS: dict[str, Callable[[Snapshot, bytes], bytes]] = {
    "another secret's": lambda forged, _: codec.seal(forged, b"a guess" * 5).mac,
    "no secret's": lambda forged, _: codec.seal(forged, b"").mac,
    "the genuine one's": lambda _, genuine: genuine,
    "zeros": lambda *_: bytes(32),
    "none": lambda *_: b"",
    "too short": lambda _, genuine: genuine[:1],
    "too long": lambda _, genuine: genuine * 100_000,
}


@pytest.mark.parametrize("ahead", [0, 1], ids=["same revision", "next revision"])
def test_a_forged_key_is_never_accepted(
    installation: Installation,
    prod: Prod,
    reader: Reader,
    entry: Entry,
    tmp_path: Path,
    ahead: int,
) -> None:
    for mac in MACS:
        forge_a_key(installation, prod, reader, entry, tmp_path, mac=mac, ahead=ahead)
        ready(installation, reader, prod, entry)


def forge_a_key(
    installation: Installation,
    prod: Prod,
    reader: Reader,
    entry: Entry,
    tmp_path: Path,
    *,
    mac: str,
    ahead: int,
) -> None:
    told, refused = heard(reader), reader.metric("flagctl_snapshots_refused_total")
    genuine, forged_key = entry.read(), generate(KeyKind.SERVER, entry.environment_id)
    true = installation.revisions()["prod"]
    forged = with_forged_key(entry.snapshot(), forged_key, true + ahead)
    fields = {
        "epoch": forged.epoch,
        "revision": forged.revision,
        "stamp": forged.stamp,
        "mac": MACS[mac](forged, genuine[b"mac"]),
        "data": codec.encode(forged),
    }
    entry.put(fields)
    entry.publish(true + 1)
    eventually(lambda: heard(reader) > told, f"it was told ({mac})")
    entry.put(fields)
    with reading(installation, tmp_path) as second:
        for asked in (second, reader, second):
            assert asked.get("/v1/flags", forged_key).status == 401
            assert asked.get("/v1/configs", forged_key).status == 401
            expect(asked, prod)
            assert revision_at(asked, prod.server_key) == true
        # The first may have replaced it before the second looked.
        seen = [each.metric("flagctl_snapshots_refused_total") for each in (reader, second)]
        assert sum(seen) > refused
        eventually(lambda: entry.read() == genuine, "the forged entry is replaced")
    come_true(installation, reader, prod, is_on=False)
    assert reader.get("/v1/flags", forged_key).status == 401


def test_another_environments_copy_under_this_ones_name(
    installation: Installation, prod: Prod, reader: Reader, entry: Entry, tmp_path: Path
) -> None:
    """It is genuine, and newer by its number; its key would open prod."""
    with installation.change() as change:
        other_key = api_keys.create_key(change, "other", "dev").key
    for number in range(5):
        with installation.change() as change:
            set_value(change, "max_items", "dev", 100 + number)
    true = installation.revisions()
    assert true["dev"] > true["prod"]
    other = Entry(entry.raw, installation.environment_id("dev"))
    # A reader asks for an environment once a check has listed it, or the ration allows it.
    eventually(lambda: reader.get("/v1/configs", other_key).status == 200, "dev is served")
    eventually(lambda: other.is_copy_of(true["dev"]), "the copy of dev is in Redis")
    stolen = other.read()
    entry.put(stolen)
    entry.publish(true["dev"])
    with reading(installation, tmp_path) as second:
        for asked in (second, reader):
            expect(asked, prod)
            assert revision_at(asked, prod.server_key) == true["prod"]
            assert asked.get("/v1/configs", other_key).json() == {"max_items": 104}
            assert asked.get("/v1/flags?environment=prod", other_key).status == 403
        eventually(lambda: entry.is_copy_of(true["prod"]), "the foreign copy is replaced")
    come_true(installation, reader, prod, is_on=False)


def test_an_old_dump_restored_brings_no_revoked_key_back(
    installation: Installation, prod: Prod, reader: Reader, entry: Entry, tmp_path: Path
) -> None:
    old = entry.raw.dump(entry.key)
    with installation.change() as change:
        api_keys.revoke_key(change, "client", "prod")
    true = installation.revisions()["prod"]
    wait_for(reader, prod.server_key, true, within=10)

    def restore() -> None:
        entry.raw.restore(entry.key, 0, old, replace=True)

    restore()
    entry.publish(true, true + 1, true - 1)
    with reading(installation, tmp_path) as second:
        for asked in (reader, second):
            restore()
            assert asked.get("/v1/flags", prod.client_key).status == 401
            expect(asked, prod)
            assert revision_at(asked, prod.server_key) == true
    restore()
    come_true(installation, reader, prod, is_on=False)
    assert reader.get("/v1/flags", prod.client_key).status == 401


@pytest.mark.parametrize("lie", ["an old copy", "a forged copy"])
def test_while_postgres_is_away_redis_is_believed_no_more(
    installation: Installation, prod: Prod, reader: Reader, entry: Entry, tmp_path: Path, lie: str
) -> None:
    """A reader that holds nothing knows which revision was true when Postgres went."""
    fields = entry.read()
    forged_key = generate(KeyKind.SERVER, entry.environment_id)
    if lie == "a forged copy":
        forged = with_forged_key(entry.snapshot(), forged_key, FAR)
        fields |= {b"data": codec.encode(forged), b"revision": str(FAR).encode()}
    with installation.change() as change:
        api_keys.revoke_key(change, "client", "prod")
    true = installation.revisions()["prod"]
    wait_for(reader, prod.server_key, true, within=10)
    with reading(installation, tmp_path) as second:
        with without_postgres(installation):
            eventually(lambda: second.get("/readyz").json()["stale"], "Postgres is away")
            entry.put(fields)
            entry.publish(true, FAR)
            for key in (prod.server_key, prod.client_key, forged_key):
                assert second.get("/v1/flags", key).status == 503
            for key in (prod.client_key, forged_key):
                assert reader.get("/v1/flags", key).status == 401
            expect(reader, prod)
        eventually(lambda: second.get("/v1/flags", prod.server_key).status == 200, "it is back")
        assert second.get("/v1/flags", prod.client_key).status == 401
        assert second.get("/v1/flags", forged_key).status == 401
        expect(second, prod)
    come_true(installation, reader, prod, is_on=False)
