"""Who reaches Redis and never stops: it costs little, and the truth is back afterwards."""

import threading
import time
from pathlib import Path

import redis

from core import notifications
from core.cache import keys
from core.services.flags import Definition, create_flag
from tests.support.installations import Installation
from tests.support.lies import (
    FAR,
    Entry,
    come_true,
    expect,
    heard,
    meanwhile,
    reading,
)
from tests.support.readers import Prod, Reader, switch, wait_for
from tests.support.servers import Servers
from tests.support.waiting import eventually


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
