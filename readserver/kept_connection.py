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

_KEPT_SECONDS: Final = 10.0
_PROOF_SHARE: Final = 0.25  # of the time, in which a kept connection has to show that it is alive
T = TypeVar("T")
Question = Callable[[psycopg.AsyncConnection[Any]], Awaitable[T]]


async def _say_nothing(connection: psycopg.AsyncConnection[Any]) -> psycopg.AsyncConnection[Any]:
    await connection.execute("")
    return connection


class KeptConnection:
    """Made when it is asked, and anew after ten seconds or a fault: a new one notices what a kept
    one does not, that a fail-over gave the address to another server, or that a password was taken
    back. One question at a time."""

    def __init__(self, url: Secret, *, kept_seconds: float = _KEPT_SECONDS) -> None:
        self._url = url
        self._kept_seconds = kept_seconds
        self._stack = AsyncExitStack()
        self._connection: psycopg.AsyncConnection[Any] | None = None
        self._opened_at = 0.0

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    async def ask(self, question: Question[T], *, seconds: float) -> T:
        """What it answers. Errors of Postgres come as core.db translates them, a time-out as
        UnavailableError."""
        ends_at = time.monotonic() + seconds
        connection = await self._proved(seconds * _PROOF_SHARE)
        if connection is None:
            connection = await self._open(ends_at - time.monotonic())
        return await self._ask(question, connection, ends_at - time.monotonic())

    async def close(self) -> None:
        self._connection = None
        await self._stack.aclose()

    async def _proved(self, seconds: float) -> psycopg.AsyncConnection[Any] | None:
        """The kept one, if it is alive and young."""
        if self._connection is None:
            return None
        if time.monotonic() - self._opened_at < self._kept_seconds:
            with suppress(FlagctlError):
                return await self._ask(_say_nothing, self._connection, seconds)
        await self.close()
        return None

    async def _open(self, seconds: float) -> psycopg.AsyncConnection[Any]:
        opened = open_connection(self._url, seconds=seconds)
        self._connection = await self._stack.enter_async_context(opened)
        self._opened_at = time.monotonic()
        return self._connection

    async def _ask(
        self, question: Question[T], connection: psycopg.AsyncConnection[Any], seconds: float
    ) -> T:
        try:
            with translated():
                async with deadline(connection, seconds):
                    return await question(connection)
        except BaseException:  # also when it is cancelled: an answer may still be on its way
            await self.close()
            raise
