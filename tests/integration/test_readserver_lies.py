"""A running read server whose Redis lies: no wrong answer, no forged key, and the truth is back.

The readers here hear nothing from Postgres: what reaches them comes from Redis, or by the check.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import redis

from core import notifications
from core.auth.api_keys import KeyKind, digest, generate
from core.cache import keys
from core.services import api_keys
from core.services.configs import set_value
from core.services.flags import Definition, create_flag
from core.snapshot import codec
from core.snapshot.document import Auth, KeyGrant, Snapshot
from tests.support import readers
from tests.support.installations import Installation
from tests.support.outages import elsewhere, without_postgres
from tests.support.readers import Prod, Reader, revision_at, switch, wait_for
from tests.support.servers import Servers
from tests.support.traffic import traffic
from tests.support.waiting import eventually

FAR = 10**17  # as far as a message may say


@pytest.fixture
def raw(installation: Installation) -> Iterator[Any]:
    """Redis as an attacker has it."""
    with redis.Redis.from_url(installation.redis.administrator.reveal()) as client:
        yield client


@dataclass(frozen=True)
class Entry:
    """An environment's entry in Redis."""

    raw: Any
    environment_id: str

    @property
    def key(self) -> str:
        return keys.snapshot_key(self.environment_id)

    def read(self) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = self.raw.hgetall(self.key)
        return found

    def snapshot(self) -> Snapshot:
        return codec.decode(self.read()[b"data"])

    def put(self, fields: Mapping[Any, Any]) -> None:
        """Replace it, without asking anybody."""
        pipeline = self.raw.pipeline(transaction=True)
        pipeline.delete(self.key)
        pipeline.hset(self.key, mapping=fields)
        pipeline.execute()

    def publish(self, *revisions: object) -> None:
        for revision in revisions:
            self.raw.publish(notifications.CHANNEL, f"{self.environment_id} {revision}")

    def is_copy_of(self, revision: int) -> bool:
        fields = self.read() if self.raw.type(self.key) == b"hash" else {}
        return fields.get(b"revision") == str(revision).encode() and b"data" in fields


@pytest.fixture
def entry(installation: Installation, raw: Any) -> Entry:
    return Entry(raw, installation.environment_id("prod"))


@contextmanager
def reading(installation: Installation, folder: Path, **settings: str) -> Iterator[Reader]:
    deaf = {
        "FLAGCTL_LISTEN_DATABASE_URL": elsewhere(installation),
        "FLAGCTL_CHECK_INTERVAL": "0.5",
    }
    given = readers.settings_for(installation) | deaf | settings
    with readers.running(folder, given) as reader:
        yield reader


@pytest.fixture
def reader(
    installation: Installation, prod: Prod, entry: Entry, tmp_path: Path
) -> Iterator[Reader]:
    """It holds prod, has filled Redis, and listens there."""
    with reading(installation, tmp_path) as running:
        assert running.get("/v1/flags", prod.server_key).status == 200
        revision = installation.revisions()["prod"]
        eventually(lambda: entry.is_copy_of(revision), "the copy is in Redis")
        eventually(lambda: '"listening to Redis"' in running.log.read_text(), "it listens")
        yield running


def expect(reader: Reader, prod: Prod, *, is_on: bool = True) -> None:
    """What is true is answered."""
    answer = reader.get("/v1/flags", prod.server_key)
    assert answer.status == 200
    assert answer.json() == {"banner": True, "dark_mode": is_on, "hidden": False}
    assert reader.get("/v1/configs", prod.server_key).json() == {"max_items": 5}


def heard(reader: Reader) -> float:
    """How many messages it read; of none there is no metric yet."""
    name = "flagctl_notifications_total"
    text = reader.get("/metrics", admin=True).body.decode()
    return reader.metric(name) if f"\n{name}{{" in text else 0.0


def come_true(installation: Installation, reader: Reader, prod: Prod, *, is_on: bool) -> None:
    """After an attack: a change that nobody tells of arrives by the check, and is right."""
    revision = switch(installation, "on" if is_on else "off")
    wait_for(reader, prod.server_key, revision, within=10)
    expect(reader, prod, is_on=is_on)


def with_forged_key(snapshot: Snapshot, key: str, revision: int) -> Snapshot:
    """The same, with one key more and every flag turned around."""
    flags = tuple(replace(flag, enabled=not flag.enabled) for flag in snapshot.served.flags)
    grants = {**snapshot.auth.keys, digest(key): KeyGrant("forged", KeyKind.SERVER, None)}
    return replace(
        snapshot,
        revision=revision,
        served=replace(snapshot.served, flags=flags),
        auth=Auth(grants),
    )


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


def ready(installation: Installation, reader: Reader, prod: Prod, entry: Entry) -> None:
    """As at the start, for the next attack: on, and with a copy in Redis."""
    come_true(installation, reader, prod, is_on=True)
    true = installation.revisions()["prod"]
    eventually(lambda: entry.is_copy_of(true), "the copy is in Redis again")


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
    told = heard(reader)
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
        assert second.metric("flagctl_snapshots_refused_total") >= 1
        eventually(lambda: entry.read() == genuine, "the forged entry is replaced")
    come_true(installation, reader, prod, is_on=False)
    assert reader.get("/v1/flags", forged_key).status == 401


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


def test_a_lease_that_never_ends_costs_a_wait(
    installation: Installation, prod: Prod, reader: Reader, entry: Entry
) -> None:
    """Somebody says all the time that he is about to load."""
    stop, lease = threading.Event(), keys.lease_key(entry.environment_id)

    def hold() -> None:
        with redis.Redis.from_url(installation.redis.administrator.reveal()) as own:
            while not stop.wait(0.001):
                own.set(lease, "x" * 100_000, px=900)

    given_up = "flagctl_turns_given_up_total"
    with meanwhile(hold):
        try:
            for number in range(1, 4):
                revision = switch(installation, "off" if number % 2 else "on")
                entry.publish(revision)
                began = time.monotonic()
                wait_for(reader, prod.server_key, revision, within=10)
                assert time.monotonic() - began < 2, "a fraction of a second, and some more to load"
                assert reader.metric(given_up) >= number
        finally:
            stop.set()
    for kind in ("string", "list"):
        entry.raw.delete(lease)
        # Without an end: it is nobody's.
        entry.raw.set(lease, "x") if kind == "string" else entry.raw.rpush(lease, "x")
        before = reader.metric(given_up)
        come_true(installation, reader, prod, is_on=True)
        assert reader.metric(given_up) == before
        come_true(installation, reader, prod, is_on=False)


STRANGE_REVISIONS = (
    *(FAR, 2**63, 2**64, -1, -FAR, "", "x", "1e9", "inf", "1 1", "9" * 3_000_000, "\0", "٣"),
)


def test_strange_messages_are_answered_once_at_most(
    installation: Installation, prod: Prod, reader: Reader, entry: Entry
) -> None:
    loads = reader.metric("flagctl_postgres_loads_total")
    entry.publish(*STRANGE_REVISIONS)
    for message in (
        b"",
        b" ",
        b"\xff\xfe",
        b"\0" * 1000,
        b"f" * 3_000_000,
        b"f" * 3_000_000 + b" 5",
    ):
        entry.raw.publish(notifications.CHANNEL, message)
    # Two of all these are messages: this one, and the one that names an unknown environment.
    eventually(lambda: heard(reader) >= 2, "all were read")
    expect(reader, prod)
    assert reader.metric("flagctl_postgres_loads_total") - loads <= 1
    assert "failed" not in reader.log.read_text()
    come_true(installation, reader, prod, is_on=False)


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


@contextmanager
def meanwhile(act: Callable[[], None]) -> Iterator[threading.Event]:
    """Do it in a thread; the event says that it is done. What it raises fails the test."""
    done, failed = threading.Event(), list[BaseException]()

    def run() -> None:
        try:
            act()
        except BaseException as error:  # handed on below
            failed.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield done
    finally:
        thread.join(60)
    assert not failed
    assert not thread.is_alive()


def test_a_flood_of_messages(
    installation: Installation, prod: Prod, reader: Reader, entry: Entry
) -> None:
    """Of this environment's far future, and of environments that nobody knows."""
    rounds, each = 40, 1_000
    costs = ("flagctl_postgres_loads_total", "flagctl_checks_total")
    before = {name: reader.metric(name) for name in costs}

    def flood() -> None:
        with redis.Redis.from_url(installation.redis.administrator.reveal()) as own:
            for round_ in range(rounds):
                pipeline = own.pipeline(transaction=False)
                for number in range(each):
                    name = entry.environment_id if number % 2 else f"{round_ * each + number:016x}"
                    pipeline.publish(notifications.CHANNEL, f"{name} {FAR + number}")
                pipeline.execute()

    answers = 0
    with meanwhile(flood):
        revision = switch(installation, "off")
        while heard(reader) < rounds * each:
            answer = reader.get("/v1/flags", prod.server_key)
            assert answer.status == 200
            is_new = int(answer.headers["flagctl-revision"]) >= revision
            assert answer.json()["dark_mode"] is not is_new
            answers += 1
    assert answers >= 50, "it answers while messages wait"
    wait_for(reader, prod.server_key, revision, within=10)
    # What a flood may cost is so much a second; these are a fraction that a slow machine keeps.
    for name in costs:
        assert reader.metric(name) - before[name] < rounds * each / 50, name
    expect(reader, prod, is_on=False)
    come_true(installation, reader, prod, is_on=True)


def test_redis_is_emptied_again_and_again(
    installation: Installation,
    prod: Prod,
    reader: Reader,
    entry: Entry,
    servers: Servers,
    tmp_path: Path,
) -> None:
    stop = threading.Event()

    def empty() -> None:
        with redis.Redis.from_url(installation.redis.administrator.reveal()) as own:
            while not stop.is_set():
                # One's own Redis has more in it than this test's.
                own.flushall() if servers.valkey is not None else own.delete(entry.key)

    with meanwhile(empty):
        try:
            for is_on in (False, True, False):
                with reading(installation, tmp_path) as second:
                    expect(second, prod, is_on=not is_on)
                    come_true(installation, reader, prod, is_on=is_on)
                    wait_for(second, prod.server_key, installation.revisions()["prod"], within=10)
                    expect(second, prod, is_on=is_on)
        finally:
            stop.set()
    with installation.change() as change:
        create_flag(change, Definition("later"))
    true = installation.revisions()["prod"]
    wait_for(reader, prod.server_key, true, within=10)
    eventually(lambda: entry.is_copy_of(true), "the copy is in Redis again")
