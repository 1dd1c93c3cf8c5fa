"""A running read server whose Redis lies: the lie, and what has to be true all the same.

The readers here hear nothing from Postgres: what reaches them comes from Redis, or by the check.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core import notifications
from core.auth.api_keys import KeyKind, digest
from core.cache import keys
from core.snapshot import codec
from core.snapshot.document import Auth, KeyGrant, Snapshot
from tests.support import readers
from tests.support.installations import Installation
from tests.support.outages import elsewhere
from tests.support.readers import Prod, Reader, switch, wait_for
from tests.support.waiting import eventually

FAR = 10**17  # as far as a message may say


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


@contextmanager
def reading(installation: Installation, folder: Path, **settings: str) -> Iterator[Reader]:
    deaf = {
        "FLAGCTL_LISTEN_DATABASE_URL": elsewhere(installation),
        "FLAGCTL_CHECK_INTERVAL": "0.5",
    }
    given = readers.settings_for(installation) | deaf | settings
    with readers.running(folder, given) as reader:
        yield reader


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


def ready(installation: Installation, reader: Reader, prod: Prod, entry: Entry) -> None:
    """As at the start, for the next attack: on, and with a copy in Redis."""
    come_true(installation, reader, prod, is_on=True)
    true = installation.revisions()["prod"]
    eventually(lambda: entry.is_copy_of(true), "the copy is in Redis again")


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
