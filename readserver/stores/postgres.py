"""The truth: snapshots loaded from Postgres, in a thread, over one connection that is kept.

What is not a load (a page of the audit log) uses the connection between loads, and makes way.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import psycopg
from psycopg.pq import ConnStatus, TransactionStatus

from core import db
from core.errors import FlagctlError, UnavailableError
from core.settings import Secret
from core.snapshot.document import Snapshot, Version
from core.snapshot.load import load
from readserver.connections import APPLICATION_NAME, session_settings, with_connect_timeout
from readserver.stores.interludes import Interlude
from readserver.telemetry import Counts

LOAD_TIMEOUT_SECONDS: Final = 8.0
CONNECT_TIMEOUT_SECONDS: Final = 2
# In which a kept connection has to show that it is alive: changes wait for it.
_PROOF_SECONDS: Final = 0.25
# In which a load has to be answered before it is asked on another connection: a firewall may forget
# one in the middle. Longer where loads take long.
_FIRST_SECONDS: Final = 1.5
_TIMES_A_LOAD: Final = 3
_FADES: Final = 0.9  # with each load: a slow one is remembered for some dozens
_log = logging.getLogger(__name__)
T = TypeVar("T")


class PostgresStore:
    """Loads one environment at a time: one thread, one connection, which a failure renews."""

    def __init__(self, url: Secret, counts: Counts) -> None:
        self._url = with_connect_timeout(url, CONNECT_TIMEOUT_SECONDS)
        self._counts = counts
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="flagctl-load")
        self._driver: psycopg.Connection[Any] | None = None
        self._slowest = 0.0  # seconds that a load took lately
        self._is_closing = False
        self._loads = 0  # that wait or are under way
        self._idle = asyncio.Event()
        self._idle.set()
        self._interlude: Interlude[Any] | None = None

    async def get(self, environment_id: str, at_least: Version | None = None) -> Snapshot | None:  # noqa: ARG002 - what Postgres has is the truth, whatever a hint says
        found = await self.refresh(environment_id)
        assert not isinstance(found, Version)  # noqa: S101 - only with `unless`
        return found

    async def refresh(
        self, environment_id: str, *, unless: Version | None = None
    ) -> Snapshot | Version | None:
        """As core.snapshot.load. Raises UnavailableError within LOAD_TIMEOUT_SECONDS."""
        self._counts.postgres_loads += 1
        began = time.perf_counter()
        self._loads += 1
        self._idle.clear()
        try:
            if self._interlude is not None:
                await self._interlude.interrupt()
            return await self._run(lambda: self._load(environment_id, unless))
        except UnavailableError:
            self._counts.postgres_failures += 1
            raise
        finally:
            self._loads -= 1
            if not self._loads:
                self._idle.set()
            self._counts.loads.observe(time.perf_counter() - began)

    async def between_loads(
        self, work: Callable[["psycopg.Connection[Any]"], T], *, seconds: float
    ) -> T:
        """What `work` returns, one at a time, in a transaction of its own; it may be begun more
        than once, since a load interrupts it. Raises UnavailableError after so many seconds."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    while self._loads:
                        await self._idle.wait()
                    interlude = Interlude(self._thread, self._apart(work))
                    self._interlude = interlude
                    try:
                        return await interlude.result()
                    except FlagctlError:
                        if not interlude.is_interrupted:
                            raise
        except TimeoutError:
            if self._interlude is not None:
                await self._interlude.interrupt()
            raise UnavailableError("Postgres took too long to answer") from None

    def _apart(self, work: Callable[["psycopg.Connection[Any]"], T]) -> Callable[[Interlude[T]], T]:
        def run(interlude: Interlude[T]) -> T:
            with db.translated():
                driver = self._proved()
                interlude.begin(driver)
                try:
                    with driver.transaction():
                        return work(driver)
                finally:
                    if driver.pgconn.transaction_status != TransactionStatus.IDLE:
                        self._disconnect()

        return run

    async def _run(self, work: Callable[[], T]) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            async with asyncio.timeout(LOAD_TIMEOUT_SECONDS):
                return await asyncio.shield(future)
        except TimeoutError:
            # The thread waits for a server that says nothing. Without its socket it stops at once.
            if self._driver is not None:
                db.cut(self._driver.pgconn)
            future.add_done_callback(lambda done: done.cancelled() or done.exception())
            raise UnavailableError("Postgres took too long to answer") from None

    def _load(self, environment_id: str, unless: Version | None) -> Snapshot | Version | None:
        """What one connection does not answer in time, or not at all, a new one is asked."""
        began, driver = time.monotonic(), self._proved()
        try:
            return self._ask(driver, environment_id, unless, seconds=self._patience())
        except UnavailableError:
            is_late = time.monotonic() - began > LOAD_TIMEOUT_SECONDS / 2
            if is_late or self._is_closing:
                raise
        _log.info("a load was not answered; it is asked again on a new connection")
        return self._ask(self._proved(), environment_id, unless)

    def _patience(self) -> float:
        """Seconds for the first connection. Where that leaves too few for another, it has all."""
        seconds = max(_FIRST_SECONDS, _TIMES_A_LOAD * self._slowest)
        return seconds if seconds < LOAD_TIMEOUT_SECONDS / 2 else LOAD_TIMEOUT_SECONDS

    def _ask(
        self,
        driver: "psycopg.Connection[Any]",
        environment_id: str,
        unless: Version | None,
        *,
        seconds: float = LOAD_TIMEOUT_SECONDS,
    ) -> Snapshot | Version | None:
        began = time.monotonic()
        try:
            with _cut_after(driver, seconds):
                found = load(driver, environment_id, unless=unless)
        except Exception:
            self._disconnect()
            raise
        self._slowest = max(time.monotonic() - began, self._slowest * _FADES)
        return found

    def _proved(self) -> "psycopg.Connection[Any]":
        """The kept connection, if it is alive; else a new one."""
        if self._driver is not None and not _answers(self._driver):
            self._disconnect()  # lost long ago, maybe without a word
        if self._driver is None:
            try:
                return self._connect()
            except Exception:
                self._disconnect()
                raise
        return self._driver

    def _connect(self) -> "psycopg.Connection[Any]":
        driver = db.open_driver_connection(self._url, application_name=APPLICATION_NAME)
        self._driver = driver
        with db.translated():
            driver.execute(session_settings(LOAD_TIMEOUT_SECONDS))
            driver.commit()
        return driver

    def _disconnect(self) -> None:
        """Nothing more is said on it, not even a rollback."""
        driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()

    async def close(self) -> None:
        self._is_closing = True
        if self._driver is not None:
            db.cut(self._driver.pgconn)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=False, cancel_futures=True)


def _answers(driver: "psycopg.Connection[Any]") -> bool:
    """One round trip outside of any transaction, cut short when nothing comes back."""
    with _cut_after(driver, _PROOF_SECONDS):
        driver.pgconn.exec_(b"")
    return driver.pgconn.status == ConnStatus.OK


@contextmanager
def _cut_after(driver: "psycopg.Connection[Any]", seconds: float) -> Iterator[None]:
    timer = threading.Timer(seconds, db.cut, [driver.pgconn])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
