"""The public keys that may sign admin tokens, in memory: a token costs nobody a connection before
its signature was found good."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
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
    """Those of the last check, which is asked for where a new one comes along."""

    def __init__(self, *, ask_for_check: Callable[[], None]) -> None:
        self._ask_for_check = ask_for_check
        self._keys: dict[Origin, list[TrustedKey]] | None = None
        self._read_at = float("-inf")
        self._wanted_at = 0.0
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
            self._wanted_at = time.monotonic()
            pause = self._read_at + _UNKNOWN_PAUSE - self._wanted_at
            loop.call_later(max(0.0, pause), self._ask_for_check)
        try:
            async with asyncio.timeout(_WAIT_SECONDS):
                await asyncio.shield(self._next)
        except TimeoutError:
            pass
        else:
            if self._keys is not None:
                return
        raise UnavailableError("Postgres cannot be reached to say which tokens are trusted")

    def learn(self, keys: Sequence[TrustedKey] | None, asked_at: float) -> None:
        """A check that was asked then has read them; None where it could not."""
        self._read_at = asked_at
        if keys is not None:
            self._keys = {}
            for key in keys:
                self._keys.setdefault(Origin(key.issuer, key.key_id), []).append(key)
        if self._next is not None and asked_at >= self._wanted_at:
            waiting, self._next = self._next, None
            if not waiting.done():
                waiting.set_result(None)


async def read(connection: psycopg.AsyncConnection[Any]) -> list[TrustedKey] | None:
    """All there are. Never raises for what Postgres does: the check of revisions does not depend on
    this."""
    try:
        with translated():
            cursor = await connection.execute(_SQL)
            rows = await cursor.fetchall()
    except FlagctlError as error:
        _log.warning("the keys of issuers cannot be read", extra={"reason": error.code})
        return None
    return [
        TrustedKey(issuer, key_id, bytes(modulus), audience, timedelta(seconds=lifetime))
        for issuer, key_id, modulus, audience, lifetime in rows
    ]
