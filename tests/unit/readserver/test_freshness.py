"""Answers say that they may be old: while Postgres is away, and when a newer one does not come."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from readserver.answers import Header
from tests.support.providers import World
from tests.support.snapshots import ENVIRONMENT_ID, snapshot

Scene = Callable[[World], Awaitable[None]]
AN_HOUR = 3_600.0


def play(scene: Scene, *, patience: float = 0.0) -> None:
    """With a world that holds revision 1."""

    async def run() -> None:
        world = World(patience=patience)
        world.check()
        await world.get()
        assert marks(world) == ()
        await scene(world)
        world.postgres.gate.set()
        await world.provider.close()

    asyncio.run(run())


def marks(world: World) -> tuple[Header, ...]:
    found = world.freshness.headers(ENVIRONMENT_ID)
    assert world.freshness.is_stale(ENVIRONMENT_ID) is bool(found)
    return found


def said(seconds: int) -> tuple[Header, ...]:
    return ((b"age", str(seconds).encode()), (b"flagctl-stale", b"true"))


async def learn_of_one_that_does_not_come(world: World) -> None:
    world.postgres.gate.clear()
    await world.come_to(2)
    world.check()
    await world.settle()


def test_what_does_not_come_in_time_is_said_until_it_comes() -> None:
    async def scene(world: World) -> None:
        before = world.changes
        await learn_of_one_that_does_not_come(world)
        assert await world.served() == 1
        assert marks(world) == said(0)
        assert world.changes > before, "what was remembered does not say so"
        world.postgres.gate.set()
        await world.settle()
        assert await world.served() == 2
        assert marks(world) == ()

    play(scene)


def test_it_is_given_time() -> None:
    async def scene(world: World) -> None:
        await learn_of_one_that_does_not_come(world)
        assert marks(world) == ()

    play(scene, patience=AN_HOUR)


def test_time_is_not_given_again_by_each_check() -> None:
    async def scene(world: World) -> None:
        await learn_of_one_that_does_not_come(world)
        while not marks(world):
            world.check()
            await asyncio.sleep(0.01)

    play(scene, patience=0.1)


def test_what_came_is_not_yet_what_postgres_has() -> None:
    async def scene(world: World) -> None:
        await learn_of_one_that_does_not_come(world)
        first, world.postgres.gate = world.postgres.gate, asyncio.Event()
        await world.come_to(3)
        world.check()
        first.set()
        await world.settle()
        assert await world.served() == 2
        assert marks(world) == said(0)
        world.postgres.gate.set()
        await world.settle()
        assert await world.served() == 3
        assert marks(world) == ()

    play(scene)


def test_one_that_cannot_be_prepared_is_never_there() -> None:
    def refuses(*_: object) -> None:
        raise RuntimeError("a fault of ours")

    async def scene(world: World) -> None:
        world.prepare = refuses  # type: ignore[assignment]
        await world.come_to(2)
        world.check()
        await world.settle()
        assert await world.served() == 1
        assert marks(world) == said(0)

    play(scene)


def test_postgres_goes_back_to_what_is_held() -> None:
    async def scene(world: World) -> None:
        await learn_of_one_that_does_not_come(world)
        before = world.changes
        world.postgres.snapshot = snapshot(1)
        world.check()
        assert marks(world) == ()
        assert world.changes > before, "what says that it is old may be remembered"

    play(scene)


def test_while_postgres_is_away_all_is_old() -> None:
    async def scene(world: World) -> None:
        world.check(asked_at=100.0)
        world.now = 107.9
        world.provider.lost()
        assert marks(world) == said(7)
        world.check()
        assert marks(world) == ()

    play(scene)


@pytest.mark.parametrize("patience", [0.0, AN_HOUR])
def test_what_is_held_no_more_is_not_waited_for(patience: float) -> None:
    async def scene(world: World) -> None:
        await learn_of_one_that_does_not_come(world)
        world.postgres.snapshot = None
        world.check()
        await world.settle()
        assert marks(world) == ()

    play(scene, patience=patience)
