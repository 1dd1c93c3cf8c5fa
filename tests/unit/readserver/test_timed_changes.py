"""What is held follows the wall clock: each timed change is in place at its instant."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from core.auth.api_keys import KeyKind
from core.snapshot.document import Served, Snapshot
from readserver.answers import FLAGS, Prepared, prepare
from readserver.timed_changes import AHEAD
from tests.support.providers import World, world_test
from tests.support.rulesets import NOW
from tests.support.snapshots import ENVIRONMENT_ID, flag, snapshot

HOUR = timedelta(hours=1)
RULES = {"format": 1, "rules": [{"id": "r", "when": True, "serve": {"variant": "on"}}]}


def expiring(revision: int = 1, *, in_hours: int = 1) -> Snapshot:
    """With rules, so that it is prepared beside the event loop."""
    return ending(revision, in_hours * HOUR)


def ending(revision: int, *after: timedelta) -> Snapshot:
    """The first flag is `ends`; the others `ends1`…"""
    flags = (
        flag(f"ends{number or ''}", expires_at=NOW + after, targeting=RULES)
        for number, after in enumerate(after)
    )
    return snapshot(revision, served=Served(tuple(flags), ()))


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


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0)


async def comes_to_hold(world: World) -> None:
    await until(lambda: held(world).holds_at(world.wall))


async def comes_to(world: World, revision: int) -> None:
    world.provider.hint(ENVIRONMENT_ID, revision, "redis")
    await until(lambda: held(world).snapshot.revision == revision)


def held(world: World) -> Prepared:
    found = world.held.prepared(ENVIRONMENT_ID)
    assert found is not None
    return found


class Gated:
    """Prepares once it may; what was begun, by revision and instant."""

    def __init__(self) -> None:
        self.begun: list[tuple[int, datetime]] = []
        self.gate = threading.Event()
        self.fails = False

    def __call__(self, of: Snapshot, at: datetime) -> Prepared:
        self.begun.append((of.revision, at))
        assert self.gate.wait(60)
        if self.fails:
            raise MemoryError
        return prepare(of, at)


async def is_ready(world: World) -> None:
    """What comes next has been made."""
    await until(lambda: ENVIRONMENT_ID in world.held._timed._next)


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
async def test_what_comes_next_is_ready_at_its_instant(world: World) -> None:
    world.postgres.snapshot = expiring()
    world.wall = NOW + HOUR - AHEAD
    assert await ends(world)
    await is_ready(world)
    assert await ends(world), "and not before"
    world.prepare = Gated()  # nothing more is made
    changes, world.wall = world.changes, NOW + HOUR
    world.held.follow_time()
    assert not await ends(world)
    assert world.changes == changes + 1


@world_test
async def test_a_timer_wakes_to_make_what_comes_next(world: World) -> None:
    world.postgres.snapshot = expiring()
    world.wall = NOW + HOUR - AHEAD - timedelta(milliseconds=1)
    assert await ends(world)
    assert not world.held._timed._preparing
    world.wall = NOW + HOUR - AHEAD
    await is_ready(world)


@world_test
async def test_several_in_a_row(world: World) -> None:
    after = [HOUR + timedelta(seconds=number) for number in range(4)]
    world.postgres.snapshot = ending(1, *after)
    world.wall = NOW + HOUR - timedelta(seconds=1)
    await world.get()
    for instant in after:
        await is_ready(world)
        world.wall = NOW + instant
        world.held.follow_time()
        assert held(world).since == world.wall
    await world.settle()
    assert not world.held._timed._next, "nothing comes any more"


@world_test
async def test_instants_that_come_faster_than_they_are_prepared(world: World) -> None:
    second = timedelta(seconds=1)
    world.postgres.snapshot = ending(1, HOUR, HOUR + second, HOUR + 2 * second, 9 * HOUR)
    world.wall = NOW + HOUR - second
    world.prepare = gated = Gated()
    gated.gate.set()
    await world.get()
    await is_ready(world)
    gated.gate.clear()
    world.wall += second
    world.held.follow_time()
    assert held(world).since == NOW + HOUR
    world.wall += 2 * second
    world.held.follow_time()
    assert held(world).since == NOW + HOUR, "late, as the next is still being prepared"
    changes = world.changes
    gated.gate.set()
    await comes_to_hold(world)
    assert world.changes == changes + 2, "what was late is nearer than what was held"
    instants = [at - NOW - HOUR for _, at in gated.begun]
    assert instants == [-second, 0 * second, second, 2 * second]


@world_test
async def test_several_instants_that_were_missed_and_one_more(world: World) -> None:
    """What is made then does not follow on what is held, nor hold any more, and is nearer."""
    second = timedelta(seconds=1)
    world.postgres.snapshot = ending(1, HOUR, 2 * HOUR, 3 * HOUR)
    await world.get()
    world.prepare = gated = Gated()
    world.wall = NOW + 2 * HOUR
    world.check()
    await until(lambda: bool(gated.begun))
    world.wall = NOW + 3 * HOUR + second
    changes = world.changes
    gated.gate.set()
    await comes_to_hold(world)
    assert world.changes == changes + 2
    assert [at for _, at in gated.begun] == [NOW + 2 * HOUR, world.wall]


@world_test
async def test_a_clock_that_jumps_while_the_next_is_ready(world: World) -> None:
    world.postgres.snapshot = ending(1, HOUR, 2 * HOUR)
    second = timedelta(seconds=1)
    for moment in (NOW + HOUR, NOW + 9 * HOUR, NOW - HOUR, NOW + 2 * HOUR, NOW):
        for before in (NOW + HOUR - second, NOW + 2 * HOUR - second):
            world.wall = before
            world.check()
            await world.get()
            await comes_to_hold(world)
            await is_ready(world)
            now_held, world.wall = held(world), moment
            world.check()
            since = held(world).since
            assert held(world) is now_held or (since is not None and since <= moment)
            await comes_to_hold(world)
            past = [at for at in (NOW + HOUR, NOW + 2 * HOUR) if at <= moment]
            assert held(world).since == max(past, default=None)


@world_test
async def test_what_was_made_while_the_clock_was_back_is_never_served(world: World) -> None:
    world.postgres.snapshot = ending(1, HOUR, 2 * HOUR)
    world.wall = between = NOW + HOUR + timedelta(minutes=1)
    await world.get()
    world.prepare = gated = Gated()
    world.wall = NOW
    world.check()
    await until(lambda: bool(gated.begun))
    world.wall = between
    gated.gate.set()
    await until(lambda: not world.held._timed._preparing)
    assert held(world).since == NOW + HOUR
    world.wall = NOW + 2 * HOUR - timedelta(seconds=1)
    world.check()
    await is_ready(world)
    world.wall = NOW + 2 * HOUR
    world.held.follow_time()
    assert held(world).since == NOW + 2 * HOUR


@world_test
async def test_a_newer_snapshot_that_brings_an_earlier_change(world: World) -> None:
    world.postgres.snapshot = expiring(in_hours=2)
    world.wall = NOW + HOUR - timedelta(milliseconds=1)
    assert await ends(world)
    world.postgres.snapshot = expiring(2)
    await comes_to(world, 2)
    world.wall = NOW + HOUR
    await comes_to_hold(world)
    assert not await ends(world)


@pytest.mark.parametrize("is_ahead", [True, False])
def test_a_timed_change_never_puts_an_old_snapshot_back(is_ahead: bool) -> None:
    @world_test
    async def test(world: World) -> None:
        world.postgres.snapshot = expiring()
        assert await ends(world)
        gated = Gated()
        world.prepare = lambda of, at: gated(of, at) if of.revision == 1 else prepare(of, at)
        world.wall += HOUR - timedelta(seconds=is_ahead)
        world.check()
        await until(lambda: bool(gated.begun))
        world.postgres.snapshot = expiring(2, in_hours=9)
        await comes_to(world, 2)
        gated.gate.set()
        await until(lambda: not world.held._timed._preparing)
        world.wall = NOW + HOUR
        world.check()
        assert (await world.served(), await ends(world)) == (2, True)

    test()


@world_test
async def test_a_newer_snapshot_has_its_next_answers_made_too(world: World) -> None:
    """It comes when those of the older one are being made, or are ready."""
    world.postgres.snapshot = expiring()
    world.wall = NOW + HOUR - timedelta(seconds=1)
    world.prepare = gated = Gated()
    gated.gate.set()
    assert await ends(world)
    for revision in (2, 3):
        await is_ready(world)
        world.postgres.snapshot = expiring(revision)
        await comes_to(world, revision)
    await is_ready(world)
    world.wall = NOW + HOUR
    world.held.follow_time()
    assert (await world.served(), await ends(world)) == (3, False)
    assert gated.begun[-1] == (3, NOW + HOUR)


@world_test
async def test_a_change_that_takes_beyond_an_instant_does_not_go_back(world: World) -> None:
    world.postgres.snapshot = expiring()
    world.wall = NOW + HOUR - timedelta(seconds=1)
    assert await ends(world)
    await is_ready(world)
    world.prepare = gated = Gated()
    world.postgres.snapshot = expiring(2)
    world.provider.hint(ENVIRONMENT_ID, 2, "redis")
    await until(lambda: bool(gated.begun))
    world.wall = NOW + HOUR
    world.held.follow_time()
    assert not await ends(world)
    gated.gate.set()
    while await world.served() != 2:
        assert not await ends(world)
        await asyncio.sleep(0)
    assert not await ends(world)


@world_test
async def test_what_could_not_be_made_is_tried_again(world: World) -> None:
    world.postgres.snapshot = expiring()
    assert await ends(world)
    world.prepare = gated = Gated()
    gated.gate.set()
    gated.fails = True
    world.wall = NOW + HOUR - timedelta(seconds=1)
    world.check()
    await until(lambda: bool(gated.begun) and not world.held._timed._preparing)
    gated.fails = False
    world.check()
    await is_ready(world)


@world_test
async def test_other_work_in_threads_holds_up_no_change(world: World) -> None:
    """Disks that hang, and answers that many ask for: the loop's own pool is busy with them."""
    gate, busy = threading.Event(), ThreadPoolExecutor(1)
    loop = asyncio.get_running_loop()
    loop.set_default_executor(busy)
    waiting = loop.run_in_executor(None, gate.wait, 60)
    try:
        world.postgres.snapshot = expiring()
        async with asyncio.timeout(30):
            assert await ends(world)
            world.wall += HOUR
            world.check()
            await comes_to_hold(world)
    finally:
        gate.set()
        assert await waiting
