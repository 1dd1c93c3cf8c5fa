"""Of all readers one loads an environment; the others wait for the copy that it puts into Redis.

A change reaches every reader at once; without this, each of them would ask Postgres for the same.
Redis may lie about whose turn it is: that costs the wait, and then everybody loads.
"""

import asyncio
import secrets
import time
from contextlib import suppress
from typing import Final

from core.snapshot.document import Version
from readserver.stores.contract import Claim, SharedCache
from readserver.telemetry import Counts

WAIT_SECONDS: Final = 0.25  # at most, in all, for whoever loads; longer where loads take long
_LONGEST_WAIT: Final = 2.0
_TIMES_A_LOAD: Final = 3
_FIRST_PAUSE: Final = 0.002  # seconds between two questions; a load takes about twice that
_LONGEST_PAUSE: Final = 0.016


class Turn:
    """One reader's turn to load one environment, or its wait for whoever has it."""

    def __init__(self, redis: SharedCache | None, environment_id: str, counts: Counts) -> None:
        self._redis = redis
        self._counts = counts
        self._environment_id = environment_id
        self._token: str | None = None
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Another worker of the host says that the copy is there: look now."""
        self._woken.set()

    async def wait(self, at_least: Version, *, load_seconds: float = 0.0) -> bool:
        """Whether there is a copy now, so that nothing has to be loaded. `load_seconds` is how long
        that took last time, until Redis had it."""
        if self._redis is None:
            return False
        token, pause = secrets.token_hex(8), _FIRST_PAUSE
        seconds = min(max(WAIT_SECONDS, _TIMES_A_LOAD * load_seconds), _LONGEST_WAIT)
        until = time.monotonic() + seconds
        while True:
            self._woken.clear()  # before it is asked: what is said meanwhile counts
            claim = await self._redis.claim(self._environment_id, at_least, token)
            if claim is Claim.LOAD:
                self._token = token
            if claim is not Claim.WAIT:
                return claim is Claim.COPY
            if time.monotonic() + pause > until:
                self._counts.turns_given_up += 1
                return False
            await self._rest(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _rest(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    async def end(self) -> None:
        """The next one may load."""
        if self._redis is not None and self._token is not None:
            token, self._token = self._token, None
            await self._redis.release(self._environment_id, token)
