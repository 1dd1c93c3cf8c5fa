"""A connection for a question that comes again and again: connecting costs Postgres and the reader
many times what the question does."""

import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from typing import Any, Final, TypeVar

import psycopg

from core.db import translated
from core.errors import FlagctlError
from core.settings import Secret
from readserver.connections import deadline, open_connection

_PROOF_SHARE: Final = 0.5  # of the time, in which a kept connection has to show that it is alive
T = TypeVar("T")
Question = Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]


async def _say_nothing(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.execute("")


class KeptConnection:
    """Made when it is asked, and kept until a question fails or somebody closes it. One question at
    a time. Moments are the monotonic clock's."""

    def __init__(self, url: Secret) -> None:
        self._url = url
        self._stack = AsyncExitStack()
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._opened_at = 0.0

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    @property
    def age(self) -> float:
        """In seconds, while it is open."""
        return time.monotonic() - self._opened_at

    async def ask(self, question: Question[T], *, seconds: float) -> T:
        """What it answers within so many seconds in all. What a kept connection does not answer, a
        new one is asked in the time left. Errors of Postgres come as core.db translates them, a
        time-out as UnavailableError."""
        began = time.monotonic()
        ends_at = began + seconds
        if self._connection is not None:
            with suppress(FlagctlError):
                await self._ask(_say_nothing, self._connection, began + seconds * _PROOF_SHARE)
                return await self._ask(question, self._connection, ends_at)
        return await self._ask(question, await self._open(ends_at), ends_at)

    async def close(self) -> None:
        self._connection = None
        await self._stack.aclose()

    async def _open(self, ends_at: float) -> psycopg.AsyncConnection[Any]:
        opened = open_connection(self._url, seconds=ends_at - time.monotonic())
        self._connection = await self._stack.enter_async_context(opened)
        self._opened_at = time.monotonic()
        return self._connection

    async def _ask(
        self, question: Question[T], connection: psycopg.AsyncConnection[Any], ends_at: float
    ) -> T:
        try:
            with translated():
                async with deadline(connection, ends_at - time.monotonic()):
                    return await question(connection)
        except BaseException:  # also when it is cancelled: an answer may still be on its way
            await self.close()
            raise
