"""The provider over stores that are made up: which store is asked, and whose word counts."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from core.auth.api_keys import KeyKind
from core.errors import UnavailableError
from core.snapshot.document import Served, Snapshot, Version
from core.snapshot.load import State
from readserver import provider, turns
from readserver.answers import FLAGS, Prepared, prepare
from readserver.held import Held
from readserver.provider import Found, Provider
from readserver.stores.contract import Claim
from readserver.stores.memory import MemoryStore
from readserver.telemetry import Counts
from readserver.truth import Truth
from tests.support.rulesets import NOW
from tests.support.snapshots import ENVIRONMENT_ID, EPOCH, flag, snapshot

SECRET = b"s" * 32


class FakePostgres:
    """The truth, with a count of the questions; `is_up` False refuses them."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = snapshot(1)
        self.is_up = True
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def refresh(
        self, environment_id: str, *, unless: Version | None = None
    ) -> Snapshot | Version | None:
        self.asked += 1
        if not self.is_up:
            raise UnavailableError
        found = self.snapshot
        await self.gate.wait()
        if found is None or environment_id != found.environment_id:
            return None
        return unless if unless == found.version else found


class FakeRedis:
    """A copy that honours `at_least`, as the contract suite makes the real one."""

    def __init__(self) -> None:
        self.memory = MemoryStore()
        self.secret = b""
        self.holder = ""

    def trust(self, secret: bytes) -> None:
        self.secret = secret

    async def get(self, environment_id: str, at_least: Version | None = None) -> Snapshot | None:
        return await self.memory.get(environment_id, at_least)

    async def put(self, snapshot: Snapshot, *, replace: bool = False) -> bool:
        return await self.memory.put(snapshot, replace=replace)

    async def claim(self, environment_id: str, at_least: Version, token: str) -> Claim | None:
        if await self.get(environment_id, at_least) is not None:
            return Claim.COPY
        if self.holder not in ("", token):
            return Claim.WAIT
        self.holder = token
        return Claim.LOAD

    async def release(self, environment_id: str, token: str) -> None:
        if self.holder == token:
            self.holder = ""


class World:
    """A provider and everything around it."""

    def __init__(self, most: int = 1_000, followed: frozenset[str] = frozenset()) -> None:
        self.postgres, self.redis, self.counts = FakePostgres(), FakeRedis(), Counts()
        self.checks = self.changes = 0
        self.ration = 0
        self.now = 100.0
        self.wall = NOW
        self.prepare: Callable[[Snapshot, datetime], Prepared] = prepare
        self.truth = Truth(lambda: self.now)
        self.held = Held(
            MemoryStore(),
            on_change=self._changed,
            prepare=self._prepare,
            now=lambda: self.wall,
            most=most,
            is_followed=followed.__contains__,
        )
        self.provider = Provider(
            held=self.held,
            redis=self.redis,
            postgres=self.postgres,
            truth=self.truth,
            counts=self.counts,
            ask_for_check=self._check,
            ask_about_unknown=self._ask,
        )

    def _prepare(self, snapshot: Snapshot, at: datetime) -> Prepared:
        return self.prepare(snapshot, at)

    def _check(self) -> None:
        self.checks += 1

    def _ask(self) -> bool:
        self.ration -= 1
        return self.ration >= 0

    def _changed(self) -> None:
        self.changes += 1

    def check(self, *, asked_at: float = float("inf")) -> None:
        """A check of the revisions answers."""
        found = self.postgres.snapshot
        versions = {} if found is None else {found.environment_id: found.version}
        epoch = EPOCH if found is None else found.epoch
        self.provider.verified(State(epoch, SECRET, versions), asked_at)

    async def get(self) -> Found:
        found = await self.provider.get(ENVIRONMENT_ID)
        assert found is not None
        return found

    async def served(self) -> int:
        return (await self.get()).prepared.snapshot.revision

    async def settle(self) -> None:
        """Let everything that was started come to its end."""
        for _ in range(50):
            await asyncio.sleep(0)

    async def come_to(self, revision: int) -> None:
        """A committed change in Postgres."""
        self.postgres.snapshot = snapshot(revision)


def world_test(test: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
    """Run with a world whose first check has answered."""

    async def run() -> None:
        world = World()
        world.check()
        await test(world)
        await world.provider.close()

    def wrapped() -> None:
        asyncio.run(run())

    wrapped.__name__ = test.__name__
    wrapped.__doc__ = test.__doc__
    return wrapped


@world_test
async def test_a_miss_loads_once_and_fills_the_others(world: World) -> None:
    assert (await world.get()).source == "database"
    assert (await world.get()).source == "memory"
    await world.settle()
    assert world.postgres.asked == 1
    assert await world.redis.get(ENVIRONMENT_ID) == snapshot(1)


@world_test
async def test_redis_answers_a_miss(world: World) -> None:
    await world.redis.put(snapshot(1))
    assert (await world.get()).source == "redis"
    assert world.postgres.asked == 0


@world_test
async def test_a_client_that_is_ahead_is_waited_for(world: World) -> None:
    found = await world.get()
    await world.come_to(2)
    assert await world.provider.at_least(found, 1) is found
    newer = await world.provider.at_least(found, 2)
    assert (newer.prepared.snapshot.revision, world.postgres.asked) == (2, 2)
    assert await world.provider.at_least(newer, 10**12) is newer, "it was made up"
    assert await world.provider.at_least(newer, 10**12) is newer
    assert world.postgres.asked == 3, "which costs one question in a while"


@world_test
async def test_many_misses_are_one_load(world: World) -> None:
    world.postgres.gate.clear()
    asking = [asyncio.create_task(world.get()) for _ in range(20)]
    await world.settle()
    world.postgres.gate.set()
    assert {(await found).source for found in asking} == {"database"}
    assert world.postgres.asked == 1


@world_test
async def test_an_old_copy_in_redis_is_not_served(world: World) -> None:
    await world.redis.put(snapshot(1))
    await world.come_to(2)
    world.check()
    assert await world.served() == 2


@world_test
async def test_a_message_that_overtakes_redis(world: World) -> None:
    await world.redis.put(snapshot(1))
    await world.come_to(2)
    world.provider.hint(ENVIRONMENT_ID, 2, "postgres")
    assert await world.served() == 2


@world_test
async def test_a_message_reloads_in_the_background(world: World) -> None:
    await world.get()
    world.postgres.gate.clear()
    await world.come_to(2)
    world.provider.hint(ENVIRONMENT_ID, 2, "redis")
    await world.settle()
    assert await world.served() == 1, "the old one serves while the load is up"
    world.postgres.gate.set()
    await world.settle()
    assert await world.served() == 2


@world_test
async def test_a_message_during_a_load_is_not_lost(world: World) -> None:
    await world.get()
    await world.come_to(2)
    world.postgres.gate.clear()
    world.provider.hint(ENVIRONMENT_ID, 2, "redis")
    await world.settle()
    await world.come_to(3)  # the load has read revision 2 already
    world.provider.hint(ENVIRONMENT_ID, 3, "redis")
    world.postgres.gate.set()
    async with asyncio.timeout(5):
        while await world.served() != 3:
            await asyncio.sleep(0)


@world_test
async def test_a_message_that_is_not_true_costs_one_question(world: World) -> None:
    await world.get()
    await world.settle()
    world.provider.hint(ENVIRONMENT_ID, 10**17, "redis")
    await world.settle()
    assert (await world.served(), world.postgres.asked) == (1, 2)
    world.provider.hint(ENVIRONMENT_ID, 1, "redis")
    await world.settle()
    assert world.postgres.asked == 2


@world_test
async def test_a_drip_of_false_messages_costs_one_question_a_pause(world: World) -> None:
    await world.get()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provider, "_PAUSE_AFTER_FALSE_HINT", 600)
        for number in range(20):
            world.provider.hint(ENVIRONMENT_ID, 10**17 + number, "redis")
            await world.settle()
    assert world.postgres.asked == 2


@world_test
async def test_a_true_message_is_followed_after_the_pause(world: World) -> None:
    await world.get()
    world.provider.hint(ENVIRONMENT_ID, 10**17, "redis")
    await world.settle()
    assert world.postgres.asked == 2
    await world.come_to(2)
    world.provider.hint(ENVIRONMENT_ID, 2, "postgres")
    async with asyncio.timeout(60):
        while await world.served() != 2:
            await asyncio.sleep(0)
    assert world.postgres.asked == 3


@world_test
async def test_a_check_during_a_load_is_not_lost(world: World) -> None:
    await world.get()
    world.postgres.gate.clear()
    world.provider.hint(ENVIRONMENT_ID, 10**17, "redis")
    await world.settle()
    await world.come_to(2)  # the load that a forged message started has read revision 1 already
    world.check()
    world.postgres.gate.set()
    async with asyncio.timeout(5):
        while await world.served() != 2:
            await asyncio.sleep(0)


@world_test
async def test_an_unknown_environment_is_rationed(world: World) -> None:
    world.ration = 1
    for _ in range(5):
        assert await world.provider.get("f" * 16) is None
    assert world.postgres.asked == 1


@world_test
async def test_a_deleted_environment_is_dropped(world: World) -> None:
    await world.get()
    world.postgres.snapshot = None
    world.check()
    assert await world.provider.get(ENVIRONMENT_ID) is None
    assert len(world.held) == 0


@world_test
async def test_a_check_that_was_asked_before_the_load_says_nothing(world: World) -> None:
    await world.come_to(2)
    assert await world.served() == 2
    await world.come_to(1)
    world.check(asked_at=0.0)
    await world.settle()
    assert await world.served() == 2


@world_test
async def test_a_restore_that_went_back_is_followed(world: World) -> None:
    await world.come_to(5)
    assert await world.served() == 5
    await world.settle()
    await world.come_to(3)
    world.check()
    await world.settle()
    assert await world.served() == 3
    assert await world.redis.get(ENVIRONMENT_ID) == snapshot(3)


@world_test
async def test_another_epoch_replaces_a_higher_revision(world: World) -> None:
    await world.come_to(5)
    assert await world.served() == 5
    world.postgres.snapshot = replace(snapshot(2), epoch="7000.2.1")
    world.check()
    await world.settle()
    assert await world.served() == 2


@world_test
async def test_redis_cannot_bring_another_epoch(world: World) -> None:
    await world.get()
    await world.redis.put(replace(snapshot(9), epoch="7000.2.1"))
    world.provider.hint(ENVIRONMENT_ID, 9, "redis")
    await world.settle()
    assert await world.served() == 1


@world_test
async def test_postgres_lost_and_back(world: World) -> None:
    await world.get()
    world.postgres.is_up = False
    world.provider.hint(ENVIRONMENT_ID, 2, "redis")
    await world.settle()
    assert (world.truth.is_stale, world.checks) == (True, 1)
    assert await world.served() == 1
    asked = world.postgres.asked
    world.provider.hint(ENVIRONMENT_ID, 3, "redis")
    await world.settle()
    assert world.postgres.asked == asked, "a lost Postgres is the check's to find again"
    world.postgres.is_up = True
    await world.come_to(3)
    world.check()
    await world.settle()
    assert (await world.served(), world.truth.is_stale) == (3, False)


@world_test
async def test_without_postgres_redis_answers_what_is_not_held(world: World) -> None:
    await world.redis.put(snapshot(1))
    world.provider.lost()
    world.provider.hint(ENVIRONMENT_ID, 10**17, "redis")
    assert (await world.get()).source == "redis"


@world_test
async def test_without_both_what_is_not_held_is_unavailable(world: World) -> None:
    world.provider.lost()
    with pytest.raises(UnavailableError):
        await world.get()
    with pytest.raises(UnavailableError):
        await world.provider.get("f" * 16)


def test_before_postgres_ever_answered_nothing_can_be_judged() -> None:
    async def run() -> None:
        world = World()
        await world.redis.put(snapshot(1))
        world.provider.lost()
        with pytest.raises(UnavailableError):
            await world.get()

    asyncio.run(run())


@world_test
async def test_the_age_is_since_the_last_check(world: World) -> None:
    world.check(asked_at=100.0)
    world.now = 107.5
    assert world.truth.age_seconds == 7.5


@world_test
async def test_a_deleted_environment_does_not_come_back_from_redis(world: World) -> None:
    """Whoever deleted it could not tell Redis, whose copy is in order and as new as any."""
    await world.get()
    await world.settle()
    assert await world.redis.get(ENVIRONMENT_ID) is not None
    world.postgres.snapshot = None
    world.provider.hint(ENVIRONMENT_ID, 2, "postgres")
    await world.settle()
    world.ration = 2
    assert await world.provider.get(ENVIRONMENT_ID) is None, "a load found nothing"
    world.check()
    assert await world.provider.get(ENVIRONMENT_ID) is None, "a check did not list it"
    world.postgres.is_up = False
    world.provider.lost()
    world.ration = 1
    with pytest.raises(UnavailableError):
        await world.provider.get(ENVIRONMENT_ID)


HOUR = timedelta(hours=1)
RULES = {"format": 1, "rules": [{"id": "r", "when": True, "serve": {"variant": "on"}}]}


def expiring(revision: int = 1, *, in_hours: int = 1) -> Snapshot:
    """With rules, so that it is prepared beside the event loop."""
    flags = (flag("ends", expires_at=NOW + in_hours * HOUR, targeting=RULES),)
    return snapshot(revision, served=Served(flags, ()))


async def ends(world: World) -> bool:
    """What the flag `ends` is, wherever it is asked."""
    prepared = (await world.get()).prepared
    assert prepared.holds_at(world.wall)
    result = prepared.evaluations[KeyKind.SERVER].evaluate("ends", {})
    assert result is not None
    value = bool(result.value)
    body = prepared.answers[FLAGS, KeyKind.SERVER].identity.body
    assert body == (b'{"ends":true}' if value else b'{"ends":false}')
    return value


async def comes_to_hold(world: World) -> None:
    async with asyncio.timeout(60):
        while not (await world.get()).prepared.holds_at(world.wall):
            await asyncio.sleep(0)


@world_test
async def test_answers_follow_the_wall_clock_wherever_it_is_set(world: World) -> None:
    world.postgres.snapshot = expiring()
    assert await ends(world)
    first, asked = (await world.get()).prepared, world.postgres.asked
    for moment, expected in (
        (NOW + HOUR - timedelta(microseconds=1), True),
        (NOW + HOUR, False),
        (NOW, True),
        (NOW + 9 * HOUR, False),
        (NOW - 9 * HOUR, True),
    ):
        world.wall, changes = moment, world.changes
        before = (await world.get()).prepared
        world.check()
        await comes_to_hold(world)
        after = (await world.get()).prepared
        assert await ends(world) is expected
        assert (after is before) is (world.changes == changes), "who remembers answers is told"
        assert after.snapshot is first.snapshot
        assert after.since == (None if expected else NOW + HOUR)
    assert world.postgres.asked == asked


@world_test
async def test_without_postgres_time_goes_on(world: World) -> None:
    world.postgres.snapshot = expiring()
    assert await ends(world)
    world.wall += HOUR
    world.provider.lost()
    await comes_to_hold(world)
    assert not await ends(world)


@world_test
async def test_a_timer_wakes_for_the_next_timed_change(world: World) -> None:
    world.postgres.snapshot = expiring()
    world.wall = NOW + HOUR - timedelta(milliseconds=1)
    assert await ends(world)
    world.wall = NOW + HOUR
    await comes_to_hold(world)
    assert not await ends(world)


@world_test
async def test_a_newer_snapshot_that_brings_an_earlier_change(world: World) -> None:
    world.postgres.snapshot = expiring(in_hours=2)
    world.wall = NOW + HOUR - timedelta(milliseconds=1)
    assert await ends(world)
    world.postgres.snapshot = expiring(2)
    world.provider.hint(ENVIRONMENT_ID, 2, "redis")
    async with asyncio.timeout(60):
        while await world.served() != 2:
            await asyncio.sleep(0)
    world.wall = NOW + HOUR
    await comes_to_hold(world)
    assert not await ends(world)


@world_test
async def test_a_timed_change_never_puts_an_old_snapshot_back(world: World) -> None:
    world.postgres.snapshot = expiring()
    assert await ends(world)
    gate, begun = threading.Event(), threading.Event()

    def slowly(of: Snapshot, at: datetime) -> Prepared:
        if of.revision == 1:
            begun.set()
            gate.wait(60)
        return prepare(of, at)

    world.prepare = slowly
    world.wall += HOUR
    world.check()
    async with asyncio.timeout(60):
        while not begun.is_set():
            await asyncio.sleep(0)
        world.postgres.snapshot = expiring(2, in_hours=9)
        world.provider.hint(ENVIRONMENT_ID, 2, "redis")
        while await world.served() != 2:
            await asyncio.sleep(0)
        gate.set()
        while world.held._timed._renewals:
            await asyncio.sleep(0)
    assert (await world.served(), await ends(world)) == (2, True)


class ManyEnvironments(FakePostgres):
    """Has whatever is asked for."""

    async def refresh(
        self, environment_id: str, *, unless: Version | None = None
    ) -> Snapshot | Version | None:
        self.asked += 1
        return snapshot(1, environment_id=environment_id)


def test_environments_with_streams_stay() -> None:
    """They are not asked for, and letting one go would end its streams."""

    async def test() -> None:
        ids = [f"{number:016x}" for number in range(4)]
        world = World(most=2, followed=frozenset(ids[:2]))
        world.postgres = world.provider._postgres = ManyEnvironments()
        versions = {id_: snapshot(1).version for id_ in ids}
        world.provider.verified(State(EPOCH, SECRET, versions), float("inf"))

        async def held_after(id_: str) -> list[str]:
            assert await world.provider.get(id_) is not None
            await world.settle()
            return [id_ for id_ in ids if world.held.prepared(id_) is not None]

        assert await held_after(ids[0]) == ids[:1]
        assert await held_after(ids[2]) == [ids[0], ids[2]]
        assert await held_after(ids[3]) == [ids[0], ids[3]], "the one that is not followed goes"
        assert await held_after(ids[1]) == [ids[0], ids[1]]
        assert await held_after(ids[2]) == [ids[1], ids[2]], "memory is bounded all the same"
        await world.provider.close()

    asyncio.run(test())


def test_environments_that_nobody_asks_for_go_first() -> None:
    async def test() -> None:
        world = World(most=3)
        world.postgres = world.provider._postgres = ManyEnvironments()
        ids = [f"{number:016x}" for number in range(5)]
        versions = {id_: snapshot(1).version for id_ in ids}
        world.provider.verified(State(EPOCH, SECRET, versions), float("inf"))

        async def source_of(number: int) -> str:
            found = await world.provider.get(ids[number])
            assert found is not None
            await world.settle()
            return "memory" if found.source == "memory" else "store"

        asked = [0, 1, 2, 0, 3, 0, 2, 1]
        sources = [await source_of(number) for number in asked]
        assert sources == ["store"] * 3 + ["memory", "store", "memory", "memory", "store"]
        assert (len(world.held), len(world.held._prepared)) == (3, 3)
        assert world.changes >= 7, "the memo forgets what is let go"
        # All at once: each is answered, or told to come again; nobody's key is called unknown.
        found = await asyncio.gather(
            *(world.provider.get(id_) for id_ in ids), return_exceptions=True
        )
        assert all(isinstance(one, Found | UnavailableError) for one in found)
        await world.provider.close()

    asyncio.run(test())


@world_test
async def test_while_another_reader_loads_its_copy_is_waited_for(world: World) -> None:
    world.redis.holder = "another"
    asking = asyncio.create_task(world.get())
    await world.settle()
    assert world.postgres.asked == 0
    await world.redis.put(snapshot(1))
    assert (await asking).source == "redis"
    assert world.postgres.asked == 0


@world_test
async def test_who_holds_the_lease_for_ever_costs_a_wait(world: World) -> None:
    world.redis.holder = "nobody"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns, "WAIT_SECONDS", 0.01)
        assert (await world.get()).source == "database"
    await world.settle()
    assert world.redis.holder == "nobody"


@world_test
async def test_the_lease_ends_with_the_load_whatever_it_found(world: World) -> None:
    await world.get()
    await world.settle()
    assert world.redis.holder == ""
    world.provider.hint(ENVIRONMENT_ID, 10**17, "redis")  # there is nothing newer
    await world.settle()
    assert (world.postgres.asked, world.redis.holder) == (2, "")
    world.postgres.is_up = False
    world.provider.hint(ENVIRONMENT_ID, 10**17 + 1, "redis")
    async with asyncio.timeout(5):
        while world.postgres.asked == 2:
            await asyncio.sleep(0)
    await world.settle()
    assert world.redis.holder == ""


@world_test
async def test_where_loads_take_long_another_one_is_waited_for_longer(world: World) -> None:
    waited = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(turns.Turn, "wait", lambda *_, load_seconds: record(load_seconds))

        async def record(load_seconds: float) -> bool:
            waited.append(load_seconds)
            return False

        world.postgres.gate.clear()
        asking = asyncio.create_task(world.get())
        await world.settle()
        await asyncio.sleep(0.02)  # the load takes as long; the assertion below is of this alone
        world.postgres.gate.set()
        await asking
        await world.settle()
        await world.come_to(2)
        world.provider.hint(ENVIRONMENT_ID, 2, "redis")
        await world.settle()
    assert waited[0] == 0.0
    assert waited[1] >= 0.02
