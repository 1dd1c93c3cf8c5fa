"""Asks Postgres now and then what is true, in case that every message was lost."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Final

from core.errors import FlagctlError
from core.settings import Secret
from core.snapshot.load import STATE_SQL, State, state_of
from readserver.connections import open_connection
from readserver.telemetry import Counts
from readserver.trusted_keys import TrustedKeys

_LEAST_PAUSE: Final = 0.1  # seconds, however often a check is asked for
_UNKNOWN_PAUSE: Final = 1.0  # seconds between two checks for ids that nobody knows
_LONGEST_PAUSE_WHILE_LOST: Final = 2.0
_LONGEST_WAIT: Final = 5.0
_log = logging.getLogger(__name__)


class Checker:
    """One query for all environments every `interval` seconds, on a new connection each time.

    A new connection notices what a kept one does not: a fail-over, a changed address, a password
    that was taken back. It gives up after half the interval. Nothing else
    waits for this connection, nor this for anything: it is one of at most four of the process
    (checks, LISTEN, loads, and one page of the audit log).
    """

    def __init__(
        self,
        url: Secret,
        *,
        interval: float,
        keys: TrustedKeys,
        counts: Counts,
        on_answer: Callable[[State, float], None],
        on_failure: Callable[[], None],
    ) -> None:
        """`keys` are read along, on the same connection."""
        self._url = url
        self._interval = interval
        self._keys = keys
        self._counts = counts
        self._on_answer = on_answer
        self._on_failure = on_failure
        self._wanted = asyncio.Event()
        self._last_unknown = float("-inf")
        self._failed = False

    def soon(self) -> None:
        """Check now, or as soon as the least pause has passed."""
        self._wanted.set()

    def for_unknown(self) -> bool:
        """Ration: whether the stores may be asked about an id that the last check did not list."""
        now = time.monotonic()
        if now - self._last_unknown < _UNKNOWN_PAUSE:
            return False
        self._last_unknown = now
        self.soon()
        return True

    async def run(self) -> None:
        while True:
            began = time.monotonic()
            self._wanted.clear()
            await self.check()
            pause = self._interval
            if self._failed:
                pause = min(pause, _LONGEST_PAUSE_WHILE_LOST)
            await self._rest(began + pause)

    async def _rest(self, until: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, until - time.monotonic())):
                await self._wanted.wait()
        except TimeoutError:
            return
        await asyncio.sleep(min(_LEAST_PAUSE, self._interval))

    async def check(self) -> None:
        """Ask once. Never raises for what Postgres does."""
        asked_at = time.monotonic()
        self._counts.checks += 1
        try:
            state = await self._ask()
        except FlagctlError as error:
            self._counts.failed_checks += 1
            if not self._failed:
                _log.warning("the check of revisions failed", extra={"reason": error.code})
            self._failed = True
            self._on_failure()
            return
        if self._failed:
            _log.info("Postgres answers again")
        self._failed = False
        self._on_answer(state, asked_at)

    async def _ask(self) -> State:
        seconds = min(self._interval / 2, _LONGEST_WAIT)
        async with open_connection(self._url, seconds=seconds) as connection:
            cursor = await connection.execute(STATE_SQL)
            state = state_of(await cursor.fetchall())
            if self._keys.is_due():
                await self._keys.read(connection)
            return state
