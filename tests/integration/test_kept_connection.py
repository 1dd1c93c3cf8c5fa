"""The connection that checks keep, on a real Postgres."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import pytest

from core.errors import UnavailableError
from readserver.kept_connection import KeptConnection
from tests.support.installations import Installation
from tests.support.waiting import eventually

_LONG = 30.0  # seconds, which no test waits for
Connection = psycopg.AsyncConnection[Any]
Test = Callable[[KeptConnection], Awaitable[None]]


async def backend(connection: Connection) -> int:
    """Its pid, as Postgres says it."""
    row = await (await connection.execute("SELECT pg_backend_pid()")).fetchone()
    assert row is not None
    return int(row[0])


async def hang(connection: Connection) -> None:
    await connection.execute("SELECT pg_sleep(60)")


def on(installation: Installation, test: Test, *, kept_seconds: float = _LONG) -> None:
    @asynccontextmanager
    async def kept() -> AsyncIterator[KeptConnection]:
        made = KeptConnection(installation.reader_url, kept_seconds=kept_seconds)
        try:
            yield made
        finally:
            await made.close()

    async def run() -> None:
        async with asyncio.timeout(60), kept() as connection:
            await test(connection)

    asyncio.run(run())
    eventually(lambda: backends(installation) == 0, "it is closed")


def backends(installation: Installation) -> int:
    found = installation.ask(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'flagctl readserver'"
    )
    return int(found[0][0])


def end_backends(installation: Installation) -> None:
    installation.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'flagctl readserver'"
    )
    eventually(lambda: backends(installation) == 0, "all are gone")


def test_it_is_kept(installation: Installation) -> None:
    async def test(kept: KeptConnection) -> None:
        assert not kept.is_open
        first, second = [await kept.ask(backend, seconds=_LONG) for _ in range(2)]
        assert kept.is_open
        assert first == second

    on(installation, test)


def test_an_old_one_is_replaced(installation: Installation) -> None:
    async def test(kept: KeptConnection) -> None:
        first, second = [await kept.ask(backend, seconds=_LONG) for _ in range(2)]
        assert first != second
        assert backends(installation) == 1

    on(installation, test, kept_seconds=0.0)


def test_a_dead_one_is_replaced_and_nobody_notices(installation: Installation) -> None:
    async def test(kept: KeptConnection) -> None:
        first = await kept.ask(backend, seconds=_LONG)
        end_backends(installation)
        assert await kept.ask(backend, seconds=_LONG) != first

    on(installation, test)


def test_one_that_says_nothing_is_given_up_in_time(installation: Installation) -> None:
    async def test(kept: KeptConnection) -> None:
        first = await kept.ask(backend, seconds=5.0)  # a statement takes that at the most
        with pytest.raises(UnavailableError):
            await kept.ask(hang, seconds=0.5)
        assert not kept.is_open
        assert await kept.ask(backend, seconds=_LONG) != first

    on(installation, test)


def test_one_whose_question_was_cancelled_is_not_asked_again(installation: Installation) -> None:
    async def test(kept: KeptConnection) -> None:
        first = await kept.ask(backend, seconds=_LONG)
        asking = asyncio.create_task(kept.ask(hang, seconds=_LONG))
        await asyncio.to_thread(
            eventually,
            lambda: installation.ask(
                "SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid = %s", [first]
            ),
            "it is asked",
        )
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert not kept.is_open
        assert await kept.ask(backend, seconds=_LONG) != first

    on(installation, test)
