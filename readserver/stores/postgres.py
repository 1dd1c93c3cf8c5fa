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
# In which a load has to be answered before it is asked again: a firewall may forget a connection in
# the middle. Longer for an environment whose last load took long.
_FIRST_SECONDS: Final = 1.5
_TIMES_A_LOAD: Final = 3
_LEAST_SECONDS: Final = 0.5  # for asking again; with less, it is not tried
_MOST_REMEMBERED: Final = 10_000  # environments
_log = logging.getLogger(__name__)
T = TypeVar("T")


class PostgresStore:
    """Loads one environment at a time: one thread, one connection, which a failure renews."""

    def __init__(self, url: Secret, counts: Counts) -> None:
        self._url = with_connect_timeout(url, CONNECT_TIMEOUT_SECONDS)
        self._counts = counts
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="flagctl-load")
        self._driver: db.Driver | None = None
        self._cutting = threading.Lock()  # from another thread, not while it is closed
        self._took: dict[str, float] = {}  # seconds, by environment
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
        began = time.monotonic()
        ends_at = began + LOAD_TIMEOUT_SECONDS
        self._loads += 1
        self._idle.clear()
        try:
            if self._interlude is not None:
                await self._interlude.interrupt()
            return await self._run(lambda: self._load(environment_id, unless, ends_at), ends_at)
        except UnavailableError:
            self._counts.postgres_failures += 1
            raise
        finally:
            self._loads -= 1
            if not self._loads:
                self._idle.set()
            self._counts.loads.observe(time.monotonic() - began)

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
                driver = self._proved(time.monotonic() + LOAD_TIMEOUT_SECONDS)
                interlude.begin(driver)
                try:
                    with driver.transaction():
                        return work(driver)
                finally:
                    if driver.pgconn.transaction_status != TransactionStatus.IDLE:
                        self._disconnect()

        return run

    async def _run(self, work: Callable[[], T], ends_at: float) -> T:
        future = asyncio.get_running_loop().run_in_executor(self._thread, work)
        try:
            async with asyncio.timeout(ends_at - time.monotonic()):
                return await asyncio.shield(future)
        except TimeoutError:
            # If its turn has not come, it never does. What is under way ends by the same clock.
            future.cancel()
            raise UnavailableError("Postgres took too long to answer") from None

    def _load(
        self, environment_id: str, unless: Version | None, ends_at: float
    ) -> Snapshot | Version | None:
        """In the thread. What the first connection does not answer in its time is asked again, with
        the time that is left: on the same one, if that was only slow, else on a new one."""
        patience = self._patience(environment_id)
        driver, asked_at = self._proved(ends_at), time.monotonic()
        try:
            return self._ask(driver, environment_id, unless, min(ends_at, asked_at + patience))
        except UnavailableError:
            if self._is_closing or time.monotonic() > ends_at - _LEAST_SECONDS:
                raise
        if self._driver is not None:  # next time it has all the time there is
            self._took[environment_id] = LOAD_TIMEOUT_SECONDS
        _log.info("a load was not answered; it is asked again")
        return self._ask(self._proved(ends_at), environment_id, unless, ends_at)

    def _patience(self, environment_id: str) -> float:
        """Seconds for the first connection. Where that leaves too few for another, it has all."""
        seconds = max(_FIRST_SECONDS, _TIMES_A_LOAD * self._took.get(environment_id, 0.0))
        return seconds if seconds < LOAD_TIMEOUT_SECONDS / 2 else LOAD_TIMEOUT_SECONDS

    def _ask(
        self, driver: db.Driver, environment_id: str, unless: Version | None, ends_at: float
    ) -> Snapshot | Version | None:
        began = time.monotonic()
        try:
            with _until(driver, ends_at):
                found = load(driver, environment_id, unless=unless)
        finally:
            if driver.pgconn.transaction_status != TransactionStatus.IDLE:
                self._disconnect()
        if isinstance(found, Snapshot):
            if len(self._took) >= _MOST_REMEMBERED:
                self._took.clear()
            self._took[environment_id] = time.monotonic() - began
        return found

    def _proved(self, ends_at: float) -> db.Driver:
        """The kept connection, if it is alive; else a new one."""
        if self._is_closing or time.monotonic() > ends_at:
            raise UnavailableError("nobody waits for it any more")
        if self._driver is not None and not _answers(self._driver):
            self._disconnect()  # lost long ago, maybe without a word
        if self._driver is None:
            try:
                return self._connect(ends_at)
            except Exception:
                self._disconnect()
                raise
        return self._driver

    def _connect(self, ends_at: float) -> db.Driver:
        driver = db.open_driver_connection(self._url, application_name=APPLICATION_NAME)
        self._driver = driver
        within = min(ends_at, time.monotonic() + CONNECT_TIMEOUT_SECONDS)
        with db.translated(), _until(driver, within):
            driver.execute(session_settings(LOAD_TIMEOUT_SECONDS))
            driver.commit()
        return driver

    def _disconnect(self) -> None:
        """Nothing more is said on it, not even a rollback."""
        with self._cutting:
            driver, self._driver = self._driver, None
        if driver is not None:
            driver.close()

    async def close(self) -> None:
        self._is_closing = True
        with self._cutting:
            if self._driver is not None:
                db.cut(self._driver.pgconn)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _until(driver: db.Driver, ends_at: float) -> Iterator[None]:
    driver.ends_at = ends_at
    try:
        yield
    finally:
        driver.ends_at = None


def _answers(driver: db.Driver) -> bool:
    """One round trip outside of any transaction, cut short when nothing comes back."""
    timer = threading.Timer(_PROOF_SECONDS, db.cut, [driver.pgconn])
    timer.daemon = True
    timer.start()
    try:
        driver.pgconn.exec_(b"")
    finally:
        timer.cancel()
        timer.join()  # else it might cut what comes next
    return driver.pgconn.status == ConnStatus.OK
