"""Whose turn it is to load: who holds the lease does, and the others wait for the copy."""

import asyncio

import pytest

from readserver import turns
from tests.support.providers import World, world_test
from tests.support.snapshots import ENVIRONMENT_ID, snapshot


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
