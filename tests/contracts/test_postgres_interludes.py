"""What is not a load uses the connection for loads, and makes way for one."""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import psycopg
import pytest

from core.errors import UnavailableError
from readserver.stores.postgres import PostgresStore
from tests.support.installations import Installation

Driver = psycopg.Connection[Any]


def pid(driver: Driver) -> int:
    return driver.info.backend_pid


def sleeps(begun: list[int], seconds: float) -> Callable[[Driver], int]:
    def work(driver: Driver) -> int:
        begun.append(pid(driver))
        driver.execute("SELECT pg_sleep(%s)", [seconds if len(begun) == 1 else 0])
        return len(begun)

    return work


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.002)


def test_a_load_interrupts_it_on_the_same_connection(
    installation: Installation,
    postgres_store: PostgresStore,
    run: Callable[[Coroutine[Any, Any, Any]], Any],
) -> None:
    environment_id, begun = installation.environment_id("prod"), list[int]()

    async def both() -> float:
        interlude = asyncio.create_task(postgres_store.between_loads(sleeps(begun, 30), seconds=20))
        await until(lambda: begun)
        began = time.monotonic()
        loads = [postgres_store.get(environment_id) for _ in range(5)]
        assert all(await asyncio.gather(*loads)), "a cancellation that comes late hits none of them"
        took = time.monotonic() - began
        assert await interlude == 2, "it was begun again"
        return took

    assert run(both()) < 2
    assert len(set(begun)) == 1


def test_many_loads_and_many_interludes(
    installation: Installation,
    postgres_store: PostgresStore,
    run: Callable[[Coroutine[Any, Any, Any]], Any],
) -> None:
    environment_id, pids = installation.environment_id("prod"), set[int]()

    def work(driver: Driver) -> None:
        pids.add(pid(driver))
        driver.execute("SELECT pg_sleep(0.004)")

    async def pages() -> None:
        for _ in range(100):
            await postgres_store.between_loads(work, seconds=20)

    async def all_of_it() -> None:
        reading = asyncio.create_task(pages())
        while not reading.done():
            assert await postgres_store.get(environment_id) is not None
            await asyncio.sleep(0.003)
        await reading

    run(all_of_it())
    assert len(pids) == 1


def test_it_ends_in_time_and_leaves_nothing_behind(
    installation: Installation,
    postgres_store: PostgresStore,
    run: Callable[[Coroutine[Any, Any, Any]], Any],
) -> None:
    def work(driver: Driver) -> None:
        driver.execute("SET LOCAL statement_timeout = '20s'")
        driver.execute("SELECT pg_sleep(20)")

    async def late() -> int:
        first: int = await postgres_store.between_loads(pid, seconds=20)
        with pytest.raises(UnavailableError):
            await postgres_store.between_loads(work, seconds=0.1)
        assert first == await postgres_store.between_loads(pid, seconds=20)
        return first

    run(late())
    setting = run(
        postgres_store.between_loads(
            lambda driver: driver.execute("SHOW statement_timeout").fetchone(), seconds=20
        )
    )
    assert setting == ("8s",)


def test_a_connection_that_was_lost_is_renewed(
    installation: Installation,
    postgres_store: PostgresStore,
    run: Callable[[Coroutine[Any, Any, Any]], Any],
) -> None:
    first = run(postgres_store.between_loads(pid, seconds=20))
    with pytest.raises(UnavailableError):
        run(
            postgres_store.between_loads(
                lambda driver: driver.execute("SELECT pg_terminate_backend(pg_backend_pid())"),
                seconds=20,
            )
        )
    assert run(postgres_store.between_loads(pid, seconds=20)) != first
    assert run(postgres_store.get(installation.environment_id("prod"))) is not None
