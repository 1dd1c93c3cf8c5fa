"""What one worker of a host holds, the others hold too: two of them, on one loop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass

import pytest

from readserver import common_holdings
from readserver.common_holdings import CommonHoldings
from readserver.host import Hearing, Host, Member
from readserver.host_signs import Signs
from tests.support.providers import World
from tests.support.snapshots import ENVIRONMENT_ID, snapshot


@dataclass
class Worker:
    world: World
    member: Member
    common: CommonHoldings

    @property
    def holds(self) -> bool:
        return self.world.held.version(ENVIRONMENT_ID) is not None


def hearing(common: CommonHoldings) -> Hearing:
    return Hearing(
        on_change=lambda *_: None,
        on_filled=lambda _: None,
        on_holding=common.hear,
        on_answer=lambda _: None,
        on_wanted=lambda: None,
        on_missed=common.hear,
        on_redis_up=lambda: None,
        on_redis_down=lambda: None,
    )


@asynccontextmanager
async def joined(host: Host, number: int, *, most: int = 10) -> AsyncIterator[Worker]:
    """A worker that is not open yet, of a Postgres that answers."""
    world, member = World(most=most), host.member(number)
    world.check()
    common = CommonHoldings(world.held, world.provider, world.truth, member, most=most)
    world.held.watchers.append(common)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(world.provider.close)
        await stack.enter_async_context(member.joined(hearing(common)))
        running = asyncio.create_task(common.run())
        stack.callback(running.cancel)
        yield Worker(world, member, common)


def run(scene: Callable[[Host], Coroutine[None, None, None]]) -> None:
    async def timed() -> None:
        with closing(Host(3)) as host:
            async with asyncio.timeout(20):
                await scene(host)

    asyncio.run(timed())


async def until(condition: Callable[[], object]) -> None:
    while not condition():
        await asyncio.sleep(0.005)


def test_what_one_is_asked_for_the_other_brings() -> None:
    async def scene(host: Host) -> None:
        async with joined(host, 0) as first, joined(host, 1) as second:
            await first.common.opened()
            await second.common.opened()
            assert second.member.held_by_others() == set()
            await first.world.get()
            await until(lambda: second.holds)
            assert second.member.held_by_others() == {ENVIRONMENT_ID}
            assert second.world.counts.hits.total() == 0, "nobody asked there"
            second.world.held.drop(ENVIRONMENT_ID)
            await until(lambda: first.member.held_by_others() == set())

    run(scene)


def test_none_is_let_go_for_what_only_others_are_asked_for() -> None:
    async def scene(host: Host) -> None:
        async with joined(host, 0) as first, joined(host, 1, most=1) as second:
            other = snapshot(1, environment_id="b" * 16)
            second.world.held.put(other, await second.world.held.prepare(other), at=0.0)
            await hold_in(first, second)
            await second.common.opened()
            await second.world.settle()
            assert [held.environment_id for held in second.world.held] == ["b" * 16]

    run(scene)


def test_who_comes_while_the_stores_are_away_leaves_requests_to_the_others() -> None:
    async def scene(host: Host) -> None:
        async with joined(host, 0) as first, joined(host, 1) as second, joined(host, 2) as third:
            await hold_in(first, second)
            opening = []
            for cold in (second, third):
                cold.world.postgres.is_up = False
                cold.world.provider.lost()
                opening.append(asyncio.create_task(cold.common.opened()))
            done, _ = await asyncio.wait(opening, timeout=0.5)
            assert not done
            second.world.postgres.is_up = True
            second.world.check()
            await opening[0]
            assert second.holds
            assert not opening[1].done()
            # Now two hold it. Without them there is nobody to leave requests to.
            for number in (0, 1):
                host.ended(number)
            await opening[1]
            assert not third.holds

    run(scene)


def test_two_that_hold_nothing_do_not_wait_for_each_other() -> None:
    async def scene(host: Host) -> None:
        async with joined(host, 0) as first, joined(host, 1) as second:
            for cold in (first, second):
                cold.world.postgres.is_up = False
                cold.world.provider.lost()
            await asyncio.gather(first.common.opened(), second.common.opened())

    run(scene)


def test_a_fault_of_one_environment_is_not_waited_for() -> None:
    async def scene(host: Host) -> None:
        async with joined(host, 0) as first, joined(host, 1) as second:
            await hold_in(first, second)

            def fail(*_: object) -> None:
                raise ZeroDivisionError

            second.world.prepare = fail  # type: ignore[assignment]
            await second.common.opened()
            assert not second.holds

    run(scene)


def test_a_load_that_hangs_is_not_waited_for_longer_than_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(common_holdings, "_PATIENCE_SECONDS", 0.3)

    async def scene(host: Host) -> None:
        async with joined(host, 0) as first, joined(host, 1) as second:
            await hold_in(first, second)
            second.world.postgres.gate.clear()
            second.world.redis.holder = "a third one, who is slow"
            opening = asyncio.create_task(second.common.opened())
            while not second.world.postgres.asked:
                assert not opening.done()
                await asyncio.sleep(0.005)
            await opening
            assert not second.holds
            second.world.postgres.gate.set()
            await until(lambda: second.holds)

    run(scene)


def test_postgres_goes_away_before_a_check_says_so() -> None:
    async def scene(host: Host) -> None:
        async with joined(host, 0) as first, joined(host, 1) as second:
            await hold_in(first, second)
            second.world.check(asked_at=0.0)  # long ago
            second.world.postgres.is_up = False
            opening = asyncio.create_task(second.common.opened())
            await until(lambda: second.world.postgres.asked)
            second.world.provider.lost()
            await asyncio.wait([opening], timeout=0.3)
            assert not opening.done(), "it would answer 503 beside one that holds it"
            second.world.postgres.is_up = True
            second.world.check()
            await opening
            assert second.holds

    run(scene)


async def hold_in(first: Worker, second: Worker) -> None:
    """What the first is asked for, the second sees."""
    await first.common.opened()
    await first.world.get()
    await until(second.member.held_by_others)


def test_what_could_not_be_loaded_is_not_tried_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(common_holdings, "_AGAIN_SECONDS", 0.01)

    async def scene(host: Host) -> None:
        async with joined(host, 0) as first, joined(host, 1) as second:
            await hold_in(first, second)
            second.world.postgres.is_up = False  # to loads, while checks are answered
            await second.common.opened()
            await asyncio.sleep(0.2)
            assert second.world.postgres.asked == 1
            monkeypatch.setattr(common_holdings, "_AFTER_FAILURE_SECONDS", 0.0)
            second.world.postgres.is_up = True
            await until(lambda: second.holds)

    run(scene)


def test_what_is_listed_later_comes_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new environment: the other one was asked for it before a check told this one of it."""
    monkeypatch.setattr(common_holdings, "_AGAIN_SECONDS", 0.01)

    async def scene(host: Host) -> None:
        async with joined(host, 0) as first, joined(host, 1) as second:
            second.world.postgres.snapshot = None
            second.world.check()
            await first.common.opened()
            await second.common.opened()
            await first.world.get()
            await until(second.member.held_by_others)
            await asyncio.sleep(0.05)
            assert not second.holds
            await second.world.come_to(1)
            second.world.check()
            await until(lambda: second.holds)

    run(scene)


def test_what_one_brings_that_opens_the_others_hear_of() -> None:
    async def scene(host: Host) -> None:
        async with joined(host, 0) as first, joined(host, 1) as second:
            await first.common.opened()
            await second.world.get()
            assert first.member.held_by_others() == set(), "it answers no requests yet"
            await second.common.opened()
            await until(lambda: first.holds)

    run(scene)


def test_what_was_asked_for_here_stays_longer_than_what_only_others_were_asked_for() -> None:
    async def scene(host: Host) -> None:
        async with joined(host, 0) as first, joined(host, 1, most=2) as second:
            await first.common.opened()
            await second.common.opened()
            await add(second, "b" * 16)
            await first.world.get()
            await until(lambda: second.holds)
            await second.world.settle()
            await add(second, "c" * 16)
            assert {held.environment_id for held in second.world.held} == {"b" * 16, "c" * 16}

    run(scene)


async def add(worker: Worker, environment_id: str) -> None:
    other = snapshot(1, environment_id=environment_id)
    worker.world.held.put(other, await worker.world.held.prepare(other), at=0.0)


def test_who_has_no_room_waits_for_nothing() -> None:
    async def scene(host: Host) -> None:
        async with joined(host, 0) as first, joined(host, 1, most=1) as second:
            await hold_in(first, second)
            await add(second, "b" * 16)
            second.world.provider.lost()
            await second.common.opened()
            assert not second.holds

    run(scene)


def test_one_that_hangs_for_a_while_is_waited_for() -> None:
    with closing(Host(2)) as host:
        host.signs = Signs(2, lambda: now)
        first, second, now = host.member(0), host.member(1), 100.0
        host.signs.join(0)
        first.hold({"a" * 16})
        now += 3
        assert host.signs.order() == []
        assert second.held_by_others() == {"a" * 16}
        now += 3
        assert second.held_by_others() == set()


def test_more_than_fits_is_as_if_there_were_none() -> None:
    with closing(Host(2)) as host:
        first, second = host.member(0), host.member(1)
        host.signs.join(0)
        first.hold(["a" * 16])
        assert second.held_by_others() == {"a" * 16}
        first.hold([f"{number:016x}" for number in range(100_000)])
        assert second.held_by_others() == set()
