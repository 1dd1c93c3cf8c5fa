"""The connection that checks keep, on a real Postgres."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
import uvloop

from core.errors import UnavailableError
from core.settings import Secret
from readserver.checker import Checker
from readserver.host import Peers
from readserver.host_answers import Answer
from readserver.kept_connection import KeptConnection
from readserver.telemetry import Counts
from readserver.trusted_keys import TrustedKeys
from tests.support import proxies
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


def on(
    installation: Installation,
    test: Test,
    *,
    url: str | None = None,
    loop: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop,
) -> None:
    @asynccontextmanager
    async def kept() -> AsyncIterator[KeptConnection]:
        made = KeptConnection(Secret(url) if url else installation.reader_url)
        try:
            yield made
        finally:
            await made.close()

    async def run() -> None:
        async with asyncio.timeout(60), kept() as connection:
            await test(connection)

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(run())
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


def test_a_dead_one_is_replaced_and_nobody_notices(installation: Installation) -> None:
    async def test(kept: KeptConnection) -> None:
        first = await kept.ask(backend, seconds=_LONG)
        end_backends(installation)
        assert await kept.ask(backend, seconds=_LONG) != first

    on(installation, test)


def test_one_that_says_nothing_is_given_up_in_time(installation: Installation) -> None:
    async def test(kept: KeptConnection) -> None:
        first = await kept.ask(backend, seconds=_LONG)
        began = time.monotonic()
        with pytest.raises(UnavailableError):
            await kept.ask(hang, seconds=0.5)
        assert 0.4 < time.monotonic() - began < _LONG / 2
        assert not kept.is_open
        installation.run("SELECT pg_terminate_backend(%s)", [first])
        assert await kept.ask(backend, seconds=_LONG) != first

    on(installation, test)


def test_a_forgotten_one_leaves_time_for_a_new_one(
    installation: Installation, tmp_path: Path
) -> None:
    with proxies.before_postgres(installation.reader_url.reveal(), tmp_path) as (proxy, url):

        async def test(kept: KeptConnection) -> None:
            first = await kept.ask(backend, seconds=_LONG)
            proxy.forget()
            assert await kept.ask(backend, seconds=4.0) != first
            proxy.is_silent = True
            began = time.monotonic()
            with pytest.raises(UnavailableError):
                await kept.ask(backend, seconds=0.5)
            assert 0.4 < time.monotonic() - began < _LONG / 2
            proxy.is_silent = False
            proxy.hang_up()

        on(installation, test, url=url)


def test_a_server_that_falls_silent_after_the_login_is_given_up_too(
    installation: Installation, tmp_path: Path
) -> None:
    with proxies.before_postgres(installation.reader_url.reveal(), tmp_path) as (proxy, url):
        sent, silent_from = list[str](), 1_000

        def watch(moment: str) -> bool:
            sent.append(moment)
            proxy.is_silent = sent.count("before") >= silent_from
            return True

        async def test(kept: KeptConnection) -> None:
            nonlocal silent_from
            await kept.ask(backend, seconds=_LONG)
            await kept.close()
            silent_from = sent.count("before") - 2  # what it is told before question and farewell
            sent.clear()
            began = time.monotonic()
            with pytest.raises(UnavailableError):
                await kept.ask(backend, seconds=0.5)
            assert 0.4 < time.monotonic() - began < _LONG / 2
            assert sent.count("before") == silent_from
            proxy.hang_up()

        proxy.watch = watch
        on(installation, test, url=url)


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_a_loop_that_stands_still_is_no_fault_of_postgres(
    installation: Installation, loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    """By then the time for its proof is over, and the proof has come."""

    async def test(kept: KeptConnection) -> None:
        await kept.ask(backend, seconds=_LONG)
        asking = asyncio.create_task(kept.ask(backend, seconds=2.0))
        for _ in range(2):
            await asyncio.sleep(0)
        time.sleep(0.6)
        assert await asking

    on(installation, test, loop=loop)


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


class Deaf(Peers):
    """Others, who did not hear of it."""

    def publish(self, answer: Answer) -> bool:
        return False


@pytest.mark.parametrize(
    ("peers", "interval", "is_kept"),
    [(Peers(), 2.0, True), (Peers(), 9.0, True), (Peers(), 10.0, False), (Deaf(), 2.0, False)],
)
def test_a_check_keeps_it_for_the_next_one(
    installation: Installation, peers: Peers, interval: float, is_kept: bool
) -> None:
    """Unless it would be old by then, or each worker has to ask for itself."""

    async def test(_kept: KeptConnection) -> None:
        heard: list[str] = []
        checker = Checker(
            installation.reader_url,
            interval=interval,
            keys=TrustedKeys(ask_for_check=lambda: None),
            counts=Counts(),
            peers=peers,
            on_answer=lambda _state, _asked_at: heard.append("known"),
            on_failure=lambda: heard.append("lost"),
        )
        running = asyncio.create_task(checker.run())
        await asyncio.to_thread(eventually, lambda: heard == ["known"], "it is asked")
        await asyncio.to_thread(
            eventually, lambda: backends(installation) == int(is_kept), "the rest is closed"
        )
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    on(installation, test)
