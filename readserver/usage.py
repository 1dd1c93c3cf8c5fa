"""Adds what was counted to Redis, now and then. Nothing waits for it.

A number counts as sent when Redis says so. Where the answer is lost it is sent again: it is better
to count twice than to have somebody remove a flag that is used. While Redis is away, integers grow,
and that is all.
"""

import asyncio
import random
import threading
import time
from collections.abc import Callable
from typing import Final

from core import clock
from core.cache import usage
from core.snapshot.document import Version
from readserver.stores.memory import MemoryStore
from readserver.stores.redis import RedisStore
from readserver.tallies import Tallies, Tally
from readserver.telemetry import Counts

_MOST_AT_ONCE: Final = 1_000  # numbers in one command
_ANEW_SECONDS: Final = 3_600.0  # Redis hears of a silent environment: it is still counted
_LEFT_SECONDS: Final = 60.0  # a request, or a load, may still hold what counts an environment
_MOST_LEFT: Final = 1_000  # environments that were let go while Redis is away
_MOST_FAILURES: Final = 3  # of one flush: the end of a process waits for the last one


class Usage:
    """Of every environment that is held; `run` is its task."""

    def __init__(
        self,
        redis: RedisStore,
        memory: MemoryStore,
        counts: Counts,
        *,
        interval: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """`interval` is in seconds."""
        self._redis = redis
        self._memory = memory
        self._counts = counts
        self._interval = interval
        self._monotonic = monotonic
        self._tallies: dict[str, Tallies] = {}
        self._told_at: dict[str, float] = {}
        self._tidied: dict[str, Version] = {}
        self._left_at: dict[str, float] = {}  # those not held any more, in the order they went
        self._lock = threading.Lock()  # nobody is given what is just forgotten

    def of(self, environment_id: str) -> Tallies:
        """What counts an environment. Called where answers are made, which may be a thread."""
        with self._lock:
            self._left_at.pop(environment_id, None)
            return self._tallies.setdefault(environment_id, Tallies())

    async def run(self) -> None:
        while True:
            await asyncio.sleep(self._interval * random.uniform(0.75, 1.25))  # noqa: S311 - no secret
            await self.flush()

    async def flush(self) -> None:
        """Send what Redis does not have. Where it fails, the next flush sends it."""
        failures = 0
        for environment_id, tallies in list(self._tallies.items()):
            await asyncio.sleep(0)  # requests have their turn
            if not await self._send(environment_id, tallies):
                self._counts.usage_failures += 1
                failures += 1
                if failures == _MOST_FAILURES:
                    break
        self._tidy()

    async def _send(self, environment_id: str, tallies: Tallies) -> bool:
        news = [(name, tally, tally.number) for name, tally in tallies.unsent()]
        if not news and not self._is_silent(environment_id):
            return True
        for start in range(0, len(news) or 1, _MOST_AT_ONCE):
            if not await self._add(environment_id, news[start : start + _MOST_AT_ONCE]):
                return False
        self._told_at[environment_id] = self._monotonic()
        return True

    def _is_silent(self, environment_id: str) -> bool:
        """Whether it is held, and Redis has not heard of it for long."""
        if self._memory.version(environment_id) is None:
            return False
        told_at = self._told_at.get(environment_id, float("-inf"))
        return self._monotonic() - told_at > _ANEW_SECONDS

    async def _add(self, environment_id: str, news: list[tuple[str, Tally, int]]) -> bool:
        numbers = [(name, number - tally.sent) for name, tally, number in news]
        arguments = usage.add_arguments(environment_id, clock.now(), numbers)
        if await self._redis.tell(usage.ADD, arguments) != 1:
            return False
        self._counts.usage_flushes += 1
        for _, tally, number in news:
            tally.sent = number
        return True

    def _tidy(self) -> None:
        """Forget what is not served any more: flags of a new snapshot, and whole environments."""
        held = {snapshot.environment_id: snapshot for snapshot in self._memory}
        now = self._monotonic()
        for environment_id, tallies in list(self._tallies.items()):
            snapshot = held.get(environment_id)
            if snapshot is None:
                self._let_go(environment_id, tallies, now)
                continue
            self._left_at.pop(environment_id, None)
            is_tidy = self._tidied.get(environment_id) == snapshot.version
            if not is_tidy and not any(tallies.unsent()):
                tallies.forget_all_but(snapshot.served.flags)
                self._tidied[environment_id] = snapshot.version
        with self._lock:
            for environment_id in list(self._left_at)[:-_MOST_LEFT]:
                self._forget(environment_id)

    def _let_go(self, environment_id: str, tallies: Tallies, now: float) -> None:
        with self._lock:
            left_at = self._left_at.setdefault(environment_id, now)
            if now - left_at > _LEFT_SECONDS and not any(tallies.unsent()):
                self._forget(environment_id)

    def _forget(self, environment_id: str) -> None:
        for known in (self._tallies, self._told_at, self._tidied, self._left_at):
            known.pop(environment_id, None)
