"""The public keys that may sign admin tokens, in memory: a token costs nobody a connection before
its signature was found good."""

import asyncio
import logging
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import psycopg

from core.auth.tokens import Origin, TrustedKey
from core.db import translated
from core.errors import FlagctlError, UnauthenticatedError, UnavailableError

_UNKNOWN_PAUSE: Final = 1.0  # seconds between two readings for keys that nobody knows
_WAIT_SECONDS: Final = 5.0
_SQL: Final = """
SELECT i.issuer, k.key_id, k.modulus, i.audience, i.max_lifetime_seconds
FROM flagctl.issuers i JOIN flagctl.issuer_keys k ON k.issuer_id = i.id
WHERE k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > now())
"""
_log = logging.getLogger(__name__)


class TrustedKeys:
    """Read by the checker on its connection: once an interval, and when a new key is asked for."""

    def __init__(self, *, interval: float, ask_for_check: Callable[[], None]) -> None:
        self._interval = interval
        self._ask_for_check = ask_for_check
        self._keys: dict[Origin, list[TrustedKey]] | None = None
        self._read_at = float("-inf")
        self._is_wanted = False
        self._next: asyncio.Future[None] | None = None  # whoever waits for the next reading

    async def find(self, origin: Origin) -> list[TrustedKey]:
        """One for each organization that trusts it. Raises UnauthenticatedError, and
        UnavailableError when Postgres cannot say."""
        if self._keys is None or origin not in self._keys:
            await self._next_reading()
        keys = self._keys.get(origin) if self._keys is not None else None
        if not keys:
            raise UnauthenticatedError(
                "the token's issuer or its key is not trusted here",
                hint="get a new one with `flagctl token issue EMAIL`",
            )
        return keys

    async def _next_reading(self) -> None:
        """All who ask for unknown keys share one reading a second, which begins after they ask."""
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            pause = self._read_at + _UNKNOWN_PAUSE - time.monotonic()
            loop.call_later(max(0.0, pause), self._want)
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await asyncio.shield(self._next)
        except TimeoutError:
            pass
        else:
            if self._keys is not None:
                return
        raise UnavailableError("Postgres cannot be reached to say which tokens are trusted")

    def _want(self) -> None:
        self._is_wanted = True
        self._ask_for_check()

    def is_due(self) -> bool:
        """Whether this check reads the keys as well; timers are a little early now and then."""
        return self._is_wanted or time.monotonic() - self._read_at >= 0.9 * self._interval

    async def read(self, connection: psycopg.AsyncConnection[Any]) -> None:
        """Never raises for what Postgres does: the check of revisions does not depend on this."""
        waiting, self._next, self._is_wanted = self._next, None, False
        self._read_at = time.monotonic()
        try:
            with translated():
                cursor = await connection.execute(_SQL)
                rows = await cursor.fetchall()
            self._keys = _by_origin(rows)
        except FlagctlError as error:
            _log.warning("the keys of issuers cannot be read", extra={"reason": error.code})
        finally:
            if waiting is not None and not waiting.done():
                waiting.set_result(None)


def _by_origin(rows: list[tuple[Any, ...]]) -> dict[Origin, list[TrustedKey]]:
    found: dict[Origin, list[TrustedKey]] = {}
    for issuer, key_id, modulus, audience, lifetime in rows:
        key = TrustedKey(issuer, key_id, bytes(modulus), audience, timedelta(seconds=lifetime))
        found.setdefault(Origin(issuer, key_id), []).append(key)
    return found
