"""Loads that take long: they get their time, on one connection, and leave nothing behind."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from core.errors import UnavailableError
from core.snapshot.document import Snapshot
from readserver.stores import postgres
from readserver.stores.postgres import PostgresStore
from readserver.telemetry import Counts
from tests.support.installations import Installation

Run = Callable[[Coroutine[Any, Any, Any]], Any]
READERS = (
    "FROM pg_stat_activity WHERE datname = current_database()"
    " AND application_name = 'flagctl readserver'"
)


@contextmanager
def locked(installation: Installation) -> Iterator[None]:
    """Every load waits, once it is in the middle."""
    with installation.connect() as locking, locking.transaction():
        locking.execute("LOCK TABLE flagctl.configs IN ACCESS EXCLUSIVE MODE")
        yield


def backends(installation: Installation) -> list[int]:
    return [pid for (pid,) in installation.ask(f"SELECT pid {READERS}")]


async def until_it_waits(installation: Installation) -> None:
    waiting = f"SELECT count(*) {READERS} AND wait_event_type = 'Lock'"
    async with asyncio.timeout(10):
        while (await asyncio.to_thread(installation.ask, waiting))[0][0] == 0:
            await asyncio.sleep(0.01)


@pytest.fixture
def short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "_FIRST_SECONDS", 0.2)


async def slow(installation: Installation, store: PostgresStore, environment_id: str) -> Any:
    """A load that takes five times as long as it may at first."""
    with locked(installation):
        load = asyncio.create_task(store.get(environment_id))
        await until_it_waits(installation)
        await asyncio.sleep(1)
    return await load


@pytest.mark.usefixtures("short_times")
def test_a_slow_load_is_asked_again_once_on_the_same_connection(
    installation: Installation,
    postgres_store: PostgresStore,
    run: Run,
    loaded: Snapshot,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    before = backends(installation)
    for _ in range(2):
        assert run(slow(installation, postgres_store, loaded.environment_id)) == loaded
    assert backends(installation) == before
    asked_again = [said for said in caplog.messages if "asked again" in said]
    assert len(asked_again) == 1, "for the second it is known that it takes long"


def test_loads_that_nobody_waits_for_are_not_begun(
    installation: Installation,
    postgres_store: PostgresStore,
    run: Run,
    loaded: Snapshot,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def many() -> None:
        loads = [postgres_store.get(loaded.environment_id) for _ in range(6)]
        with locked(installation):
            failed = await asyncio.gather(*loads, return_exceptions=True)
        assert [type(error) for error in failed] == [UnavailableError] * 6
        monkeypatch.undo()
        began = time.monotonic()
        assert await postgres_store.get(loaded.environment_id) == loaded
        assert time.monotonic() - began < 3, "not after the others had their time, one by one"

    monkeypatch.setattr(postgres, "LOAD_TIMEOUT_SECONDS", 1.0)
    before = backends(installation)
    run(many())
    assert backends(installation) == before


def test_the_end_waits_for_no_load(installation: Installation, run: Run) -> None:
    async def end() -> float:
        store, environment_id = (
            PostgresStore(installation.reader_url, Counts()),
            installation.environment_id("prod"),
        )
        with locked(installation):
            loads = [asyncio.create_task(store.get(environment_id)) for _ in range(10)]
            await until_it_waits(installation)
            began = time.monotonic()
            await store.close()
            took = time.monotonic() - began
            ended = await asyncio.gather(*loads, return_exceptions=True)
        assert {type(error) for error in ended} == {UnavailableError}
        return took

    assert run(end()) < 4
