"""Hears of changes from Postgres: LISTEN, on a direct connection of its own."""

import logging
from collections.abc import Callable
from typing import Any, Final

import psycopg

from core import notifications
from core.errors import FlagctlError
from core.settings import Secret
from readserver.backoff import Backoff
from readserver.connections import deadline, has_sent, open_connection

_CONNECT_SECONDS: Final = 5.0
_PING_EVERY: Final = 10.0  # seconds of silence
_PING_SECONDS: Final = 2.0
_LOOK_SECONDS: Final = 0.05
_log = logging.getLogger(__name__)


class PostgresListener:
    """Passes messages on until cancelled; reconnects for ever."""

    def __init__(
        self,
        url: Secret,
        *,
        on_message: Callable[[str, int, str], None],
        on_connection: Callable[[], None],
    ) -> None:
        """`on_connection` is called whenever messages may have been missed: after each connect,
        and when a connection is lost."""
        self._url = url
        self._on_message = on_message
        self._on_connection = on_connection

    async def run(self) -> None:
        backoff = Backoff()
        while True:
            try:
                async with open_connection(self._url, seconds=_CONNECT_SECONDS) as connection:
                    await connection.execute(f"LISTEN {notifications.CHANNEL}")
                    _log.info("listening to Postgres")
                    backoff.reset()
                    self._on_connection()
                    await self._listen(connection)
            except FlagctlError:
                if backoff.is_first:
                    _log.warning("not listening to Postgres")
                    self._on_connection()
            await backoff.wait()

    async def _listen(self, connection: psycopg.AsyncConnection[Any]) -> None:
        while True:
            # Some come with the answer to a ping; for none at all psycopg looks but once.
            async for notify in connection.notifies(timeout=_LOOK_SECONDS):
                if message := notifications.parse(notify.payload):
                    self._on_message(message.environment_id, message.revision, "postgres")
            if not await has_sent(connection, seconds=_PING_EVERY):
                async with deadline(connection, _PING_SECONDS):
                    await connection.execute("SELECT 1")
