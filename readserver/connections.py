"""Connections to Postgres as the server makes them: read-only, named, and never waited for long."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import psycopg
from psycopg import conninfo, sql

from core.addresses import parameters
from core.db import cut, translated
from core.errors import UnavailableError
from core.settings import Secret

APPLICATION_NAME: Final = "flagctl readserver"
_FAREWELL_SECONDS: Final = 0.25
# A peer that vanished without a word is noticed by the kernel after about 15 s.
_KEEPALIVE: Final = {"keepalives_idle": 10, "keepalives_interval": 2, "keepalives_count": 3}


def with_connect_timeout(url: Secret, seconds: int) -> Secret:
    """The address with a connect time-out (2 s at least, says libpq) and keep-alives."""
    parts = {"connect_timeout": seconds, **_KEEPALIVE, **parameters(url)}
    return Secret(conninfo.make_conninfo("", **parts))


def session_settings(seconds: float) -> sql.Composed:
    """What a new connection is told first. A SET, not start-up `options`: poolers refuse those."""
    return sql.SQL(
        "SET default_transaction_read_only = on; SET statement_timeout = {}; SET lock_timeout = {}"
    ).format(sql.Literal(f"{int(seconds * 1000)}ms"), sql.Literal(f"{int(seconds * 1000)}ms"))


@asynccontextmanager
async def open_connection(
    url: Secret, *, seconds: float
) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """An asynchronous connection in autocommit, made within so many seconds; a statement takes as
    long at the most. Errors of Postgres come as core.db translates them, a time-out as
    UnavailableError."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + seconds
    with translated():
        try:
            async with asyncio.timeout_at(ends_at):
                connection = await psycopg.AsyncConnection.connect(
                    with_connect_timeout(url, 60).reveal(),
                    application_name=APPLICATION_NAME,
                    autocommit=True,
                    prepare_threshold=None,
                )
        except TimeoutError:
            raise UnavailableError("Postgres took too long to accept a connection") from None
        try:
            async with deadline(connection, ends_at - loop.time()):
                await connection.execute(session_settings(seconds))
            yield connection
        finally:
            await _close(connection)


async def _close(connection: psycopg.AsyncConnection[Any]) -> None:
    """Until Postgres has let go of it too, so that the next one does not stand beside it there."""
    if connection.closed:
        await connection.close()
        return
    with socket.socket(fileno=os.dup(connection.fileno())) as twin:
        twin.setblocking(False)  # noqa: FBT003 - the library's name for it
        await connection.close()
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                while await asyncio.get_running_loop().sock_recv(twin, 4_096):
                    pass


async def has_sent(connection: psycopg.AsyncConnection[Any], *, seconds: float) -> bool:
    """Whether Postgres says anything (or is gone) within so long. While psycopg itself waits, it
    wakes up ten times a second."""
    loop, socket_ = asyncio.get_running_loop(), connection.fileno()
    readable = asyncio.Event()
    loop.add_reader(socket_, readable.set)
    try:
        async with asyncio.timeout(seconds):
            await readable.wait()
    except TimeoutError:
        return False
    finally:
        loop.remove_reader(socket_)
    return True


@asynccontextmanager
async def deadline(connection: psycopg.AsyncConnection[Any], seconds: float) -> AsyncIterator[None]:
    """Cut the connection when what happens inside takes longer."""
    timer = asyncio.get_running_loop().call_later(max(seconds, 0), cut, connection.pgconn)
    try:
        yield
    finally:
        timer.cancel()
