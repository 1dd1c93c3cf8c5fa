"""What is said of a revision that is not held is followed, and believed only so far."""

import asyncio

import pytest

from readserver import provider
from tests.support.providers import World, world_test
from tests.support.snapshots import ENVIRONMENT_ID, snapshot


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
