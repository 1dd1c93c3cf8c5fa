"""What is held follows the wall clock, and keeps to its bounds."""

import asyncio
import threading
from datetime import datetime, timedelta

from core.auth.api_keys import KeyKind
from core.errors import UnavailableError
from core.snapshot.document import Served, Snapshot, Version
from core.snapshot.load import State
from readserver.answers import FLAGS, Prepared, prepare
from readserver.provider import Found
from tests.support.providers import SECRET, FakePostgres, World, world_test
from tests.support.rulesets import NOW
from tests.support.snapshots import ENVIRONMENT_ID, EPOCH, flag, snapshot

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
