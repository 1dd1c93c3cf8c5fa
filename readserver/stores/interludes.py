"""Work on the connection for loads while there is no load: the next load ends it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final, Generic, TypeVar

import psycopg

from core.db import cut
from core.errors import UnavailableError

# A page of the audit log takes two or three milliseconds, as long as it takes to cancel one.
_GRACE_SECONDS: Final = 0.005
_CANCEL_SECONDS: Final = 0.25
_PAUSE_SECONDS: Final = 0.02
T = TypeVar("T")


class Interlude(Generic[T]):
    """Begins at once. Postgres is asked to cancel it rather than left with it: it would go on with
    a statement whose connection was cut, and the load on a new one would make two."""

    def __init__(self, thread: Executor, work: Callable[["Interlude[T]"], T]) -> None:
        """`work` calls `begin` when it has the connection."""
        self.is_interrupted = False
        self._driver: psycopg.Connection[Any] | None = None
        self._future = asyncio.get_running_loop().run_in_executor(thread, work, self)
        self._future.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._ending: asyncio.Task[None] | None = None

    def begin(self, driver: "psycopg.Connection[Any]") -> None:
        """In the thread. Raises UnavailableError when it is interrupted already."""
        self._driver = driver
        if self.is_interrupted:
            raise UnavailableError("a load came first")

    async def result(self) -> T:
        return await asyncio.shield(self._future)

    async def interrupt(self) -> None:
        """Until it is over, and nothing that is to cancel it is still on its way."""
        if self._ending is None and not self._future.done():
            self._ending = asyncio.create_task(self._end())
        if self._ending is not None:
            await asyncio.shield(self._ending)

    async def _end(self) -> None:
        self.is_interrupted = True
        loop = asyncio.get_running_loop()
        until = loop.time() + _CANCEL_SECONDS
        pause = _GRACE_SECONDS
        while not await self._is_over(pause) and loop.time() < until:
            # It may come too early, while the statement is on its way: then it does nothing.
            await asyncio.to_thread(_cancel, self._driver)
            pause = _PAUSE_SECONDS
        if not self._future.done() and self._driver is not None:
            cut(self._driver.pgconn)

    async def _is_over(self, seconds: float) -> bool:
        await asyncio.wait({self._future}, timeout=seconds)
        return self._future.done()


def _cancel(driver: "psycopg.Connection[Any] | None") -> None:
    if driver is not None:
        try:
            driver.cancel_safe(timeout=_CANCEL_SECONDS)
        except psycopg.Error:
            cut(driver.pgconn)
