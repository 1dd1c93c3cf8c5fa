"""The provider over stores that are made up: which store is asked, and whose word counts."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import UnavailableError
from core.snapshot.document import Snapshot
from core.snapshot.load import State
from readserver.last_good import LastGood
from readserver.stores.files import FileStore, Kept
from tests.support.providers import SECRET, World, world_test
from tests.support.snapshots import ENVIRONMENT_ID, EPOCH, snapshot


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
    assert newer is not None
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
    assert (world.truth.is_stale, world.checks) == (False, 1), "a check is asked, and says so"
    assert await world.served() == 1
    world.provider.lost()
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


class Deleted:
    """Postgres comes back and lists nothing: right after what a file held is put in place, and
    ahead of whoever waits for that."""

    def __init__(self, world: World) -> None:
        self._world = world

    def kept(self, snapshot: Snapshot, *, goes_back: bool) -> None:
        state = State(EPOCH, SECRET, {})
        asyncio.get_running_loop().call_soon(self._world.provider.verified, state, float("inf"))

    def dropped(self, environment_id: str, *, is_deleted: bool) -> None: ...


def test_what_was_deleted_is_not_served_from_its_file(tmp_path: Path) -> None:
    async def run() -> None:
        world, store = World(), FileStore(tmp_path / "last-good")
        store.prepare()
        store.write(Kept(snapshot(1), 1_000.0))
        last_good = LastGood(store, world.truth, world.counts)
        await last_good.start()
        world.provider.last_good = last_good
        world.held.watchers.append(Deleted(world))
        world.provider.lost()
        asking = (world.provider.get(ENVIRONMENT_ID) for _ in range(3))
        assert await asyncio.gather(*asking) == [None] * 3
        assert (len(world.held), world.counts.hits) == (0, {})
        await world.provider.close()
        await last_good.close()

    asyncio.run(run())
