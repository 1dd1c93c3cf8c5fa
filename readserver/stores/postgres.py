"""The truth: snapshots loaded from Postgres, in a thread, over one connection that is kept."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import psycopg
from psycopg.pq import ConnStatus
from sqlalchemy import Connection

from core import db
from core.errors import UnavailableError
from core.settings import Secret
from core.snapshot.document import Snapshot, Version
from core.snapshot.load import load
from readserver.connections import APPLICATION_NAME, session_settings, with_connect_timeout
from readserver.telemetry import Counts

LOAD_TIMEOUT_SECONDS: Final = 8.0
CONNECT_TIMEOUT_SECONDS: Final = 2
# In which a kept connection has to show that it is alive: changes wait for it.
_PROOF_SECONDS: Final = 0.25
T = TypeVar("T")


class PostgresStore:
    """Loads one environment at a time: one thread, one connection, which a failure renews."""

    def __init__(self, url: Secret, counts: Counts) -> None:
        self._url = with_connect_timeout(url, CONNECT_TIMEOUT_SECONDS)
        self._counts = counts
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="flagctl-load")
        self._stack: contextlib.ExitStack | None = None
        self._connection: Connection | None = None
        self._driver: psycopg.Connection[Any] | None = None

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
        try:
            return await self._run(lambda: self._load(environment_id, unless))
        except UnavailableError:
            self._counts.postgres_failures += 1
            raise
        finally:
            self._counts.loads.observe(time.perf_counter() - began)

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
        if self._driver is not None and not _answers(self._driver):
            self._disconnect()  # lost long ago, maybe without a word
        try:
            return load(self._connect(), environment_id, unless=unless)
        except Exception:
            self._disconnect()
            raise

    def _connect(self) -> Connection:
        if self._connection is None:
            stack = contextlib.ExitStack()
            connection = stack.enter_context(
                db.connect(self._url, application_name=APPLICATION_NAME)
            )
            self._stack, self._connection = stack, connection
            driver = connection.connection.driver_connection
            assert isinstance(driver, psycopg.Connection)  # noqa: S101 - narrows the type
            self._driver = driver
            with db.translated():
                driver.execute(session_settings(LOAD_TIMEOUT_SECONDS))
                driver.commit()
        return self._connection

    def _disconnect(self) -> None:
        stack, connection = self._stack, self._connection
        self._stack = self._connection = self._driver = None
        if stack is not None and connection is not None:
            with contextlib.suppress(Exception):
                connection.invalidate()  # nothing more is said on it, not even a rollback
            with contextlib.suppress(Exception):
                stack.close()

    async def close(self) -> None:
        if self._driver is not None:
            db.cut(self._driver.pgconn)
        await asyncio.get_running_loop().run_in_executor(self._thread, self._disconnect)
        self._thread.shutdown(wait=False, cancel_futures=True)


def _answers(driver: "psycopg.Connection[Any]") -> bool:
    """One round trip outside of any transaction, cut short when nothing comes back."""
    timer = threading.Timer(_PROOF_SECONDS, db.cut, [driver.pgconn])
    timer.start()
    try:
        driver.pgconn.exec_(b"")
    finally:
        timer.cancel()
    return driver.pgconn.status == ConnStatus.OK
