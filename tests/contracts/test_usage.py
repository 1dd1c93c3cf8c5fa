"""What is counted, until Redis has it: nothing twice, nothing lost, and nothing for ever."""

import secrets
import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
import redis

from core import clock
from core.auth.api_keys import KeyKind
from core.cache.usage import read
from core.evaluation.result import Reason, Result
from core.snapshot.document import Served, Snapshot
from readserver import usage
from readserver.stores.memory import MemoryStore
from readserver.stores.redis import RedisStore
from readserver.tallies import Tallies
from readserver.telemetry import Counts
from readserver.usage import Usage
from tests.contracts.conftest import Run
from tests.support import snapshots
from tests.support.installations import Installation
from tests.support.snapshots import flag

ON = Result("dark_mode", value=True, variant="on", reason=Reason.STATIC)
OFF = Result("dark_mode", value=False, variant="off", reason=Reason.DISABLED)


class World:
    """Counts on their way to a real Redis; the clock moves when it is told to."""

    def __init__(self, store: RedisStore, run: Run[Any], client: Any) -> None:
        self.store, self.memory, self.counts = store, MemoryStore(), Counts()
        self.now = 1_000.0
        self.usage = Usage(store, self.memory, self.counts, interval=10, monotonic=lambda: self.now)
        self.id = secrets.token_hex(8)
        self._run = run
        self._client = client

    @property
    def commands(self) -> int:
        return self.counts.usage_flushes

    def keep(self, revision: int = 1, **fields: Any) -> Tallies:
        snapshot: Snapshot = snapshots.snapshot(revision, environment_id=self.id, **fields)
        assert self.memory.keep(snapshot)
        return self.usage.of(self.id)

    def flush(self) -> None:
        self._run(self.usage.flush())

    def counted_since(self) -> datetime | None:
        now = clock.now()
        return read(self._client, self.id, since=now.date(), now=now).counted_since

    def numbers(self, id_: str | None = None) -> dict[str, dict[str, int]]:
        """Of flags; this one runs at midnight, too."""
        since = clock.now().date() - timedelta(days=1)
        found: dict[str, dict[str, int]] = {}
        for day in read(self._client, id_ or self.id, since=since, now=clock.now()).days:
            for key, variants in day.flags.items():
                found.setdefault(key, {}).update(variants)
            if day.client:
                found["client"] = {"": day.client}
        return found


@pytest.fixture
def world(redis_store: RedisStore, run: Run[Any], installation: Installation) -> Iterator[World]:
    with redis.Redis.from_url(installation.redis.writer.reveal(), driver_info=None) as client:
        yield World(redis_store, run, client)


def ask(tallies: Tallies, result: Result = ON, times: int = 1) -> None:
    tallies.of(result).number += times


def test_each_is_sent_once(world: World) -> None:
    tallies = world.keep()
    ask(tallies, times=3)
    ask(tallies, OFF)
    tallies.bulk[KeyKind.CLIENT].number += 2
    for _ in range(3):
        world.flush()
    assert world.commands == 1
    ask(tallies)
    world.flush()
    assert world.numbers() == {"dark_mode": {"on": 4, "off": 1}, "client": {"": 2}}
    assert (world.counts.usage_flushes, world.counts.usage_failures) == (2, 0)


def test_while_redis_is_away_it_grows(world: World) -> None:
    tallies = world.keep()
    world.store.mark_down()
    for _ in range(5):
        ask(tallies)
        world.flush()
    world.store.mark_up()
    world.flush()
    assert world.numbers() == {"dark_mode": {"on": 5}}
    assert (world.counts.usage_flushes, world.counts.usage_failures) == (1, 5)


def test_a_flush_that_fails_gives_up_soon(world: World) -> None:
    """A process that is to stop waits for it."""
    for id_ in map(str, range(50)):
        ask(world.usage.of(id_))
    world.store.mark_down()
    world.flush()
    assert world.counts.usage_failures == 3


def test_a_silent_environment_is_still_counted(world: World) -> None:
    world.keep()
    for commands in (1, 1):
        world.flush()
        assert world.commands == commands
    world.now += 3_601
    world.flush()
    assert (world.commands, world.numbers()) == (2, {})


@pytest.mark.parametrize("days", [-400, -2, 2, 400])
def test_a_clock_that_is_wrong_cannot_say_that_counting_began_earlier(
    world: World, monkeypatch: pytest.MonkeyPatch, days: int
) -> None:
    """It counts for days that nobody looks at: from the last such flush on all is known."""
    tallies, began, right = world.keep(), clock.now(), clock.now
    since = world.counted_since()
    assert since is None
    for times in range(2):
        ask(tallies, times=times + 1)
        monkeypatch.setattr(clock, "now", lambda: right() + timedelta(days=days))
        world.flush()
        monkeypatch.setattr(clock, "now", right)
        ask(tallies)
        world.flush()
        since = world.counted_since()
        assert since is not None
        assert since >= began.replace(microsecond=0)
        began = since
    world.now += 3_601
    world.flush()
    assert world.counted_since() == since, "clocks that agree go on"


def test_so_many_at_once(world: World) -> None:
    tallies = world.usage.of(world.id)
    for n in range(2_001):
        ask(tallies, Result(f"f{n}", value=True, variant="on", reason=Reason.STATIC))
    world.flush()
    assert (world.commands, len(world.numbers())) == (3, 2_001)


def test_a_flag_that_is_gone_is_forgotten_once_it_is_sent(world: World) -> None:
    tallies = world.keep()
    world.store.mark_down()
    kept = tallies.of(ON)
    ask(tallies, OFF)
    world.keep(2, served=Served((flag(variants={"on": True}),), ()))
    gone = tallies.of(OFF)
    world.flush()
    assert tallies.of(OFF) is gone, "Redis does not have it"
    world.store.mark_up()
    world.flush()
    assert world.numbers() == {"dark_mode": {"off": 1}}
    assert tallies.of(OFF) is not gone
    assert tallies.of(ON) is kept, "an answer that is remembered still counts with it"


def test_an_environment_that_is_not_held_is_forgotten_after_a_while(world: World) -> None:
    first = world.usage.of(world.id)
    ask(first)
    world.flush()
    world.now += 59
    world.flush()
    assert world.usage.of(world.id) is first, "a load may be under way"
    world.flush()
    world.now += 61
    world.flush()
    assert world.usage.of(world.id) is not first
    assert world.numbers() == {"dark_mode": {"on": 1}}


def test_what_is_loaded_while_it_is_forgotten_is_counted(world: World) -> None:
    """The load, a thread, has what counts it at the moment when that is let go."""
    loaded: list[Tallies] = []
    load = threading.Thread(target=lambda: loaded.append(world.usage.of(world.id)))

    class Left(dict[str, float]):
        def setdefault(self, key: str, default: float = 0.0, /) -> float:
            found = super().setdefault(key, default)
            if load.ident is None and default > found:
                load.start()
                load.join(0.2)  # it has to wait, or it would be done
            return found

    world.usage._left_at = Left()
    world.usage.of(world.id)
    world.flush()
    world.now += 61
    world.flush()
    load.join()
    assert loaded == [world.usage.of(world.id)]


def test_many_that_are_not_held_while_redis_is_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "_MOST_LEFT", 2)
    world.store.mark_down()
    ids = [secrets.token_hex(8) for _ in range(3)]
    for id_ in ids:
        ask(world.usage.of(id_))
        world.flush()
    world.store.mark_up()
    world.flush()
    assert [len(world.numbers(id_)) for id_ in ids] == [0, 1, 1]
