"""What Postgres said last, and how long ago. Everything else is measured against this."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

from core.snapshot.document import Version
from core.snapshot.load import State


class Truth:
    """The last known state of all environments, and whether Postgres can be reached."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` gives seconds, as time.monotonic does."""
        self._clock = clock
        self._state: State | None = None
        self._verified_at: float | None = None
        self._asked = asyncio.Event()
        self.is_reachable = False

    @property
    def is_known(self) -> bool:
        """Whether Postgres ever answered this process."""
        return self._state is not None

    @property
    def is_stale(self) -> bool:
        return not self.is_reachable

    @property
    def age_seconds(self) -> float:
        """Since Postgres last confirmed what is served; 0 before it ever did."""
        return 0.0 if self._verified_at is None else max(0.0, self._clock() - self._verified_at)

    @property
    def epoch(self) -> str:
        """Which Postgres it was; empty before it ever answered."""
        return self._state.epoch if self._state is not None else ""

    def version(self, environment_id: str) -> Version | None:
        return self._state.versions.get(environment_id) if self._state is not None else None

    def has(self, environment_id: str) -> bool:
        return self.version(environment_id) is not None

    def bound(self, environment_id: str, hint: int) -> Version | None:
        """What a copy must at least be: what Postgres said, or the revision that a hint promises.

        None when Postgres did not list the environment: it may have been deleted, which a copy
        outlives. Then nothing from Redis can be judged.
        """
        known = self.version(environment_id)
        if self._state is not None and known is not None and hint > known.revision:
            return Version(self._state.epoch, hint, "")
        return known

    def learn(self, state: State, asked_at: float) -> None:
        """A check answered; `asked_at` is when it was asked, by this clock."""
        self._state = state
        self._verified_at = asked_at
        self.is_reachable = True
        self._asked.set()

    def recall(self, seconds: float) -> None:
        """What is served now was confirmed so many seconds ago, in an earlier process."""
        if self._state is None:
            confirmed_at = self._clock() - max(0.0, seconds)
            self._verified_at = min(confirmed_at, self._verified_at or confirmed_at)

    def learn_one(self, environment_id: str, version: Version, *, goes_back: bool = False) -> None:
        """A load answered, between two checks; maybe with what was true before the last one. Only
        where that found that Postgres `goes_back`, so does this."""
        if self._state is None:
            return
        known = self._state.versions.get(environment_id)
        if goes_back or known is None or version.is_newer_than(known):
            versions = {**self._state.versions, environment_id: version}
            self._state = replace(self._state, epoch=version.epoch, versions=versions)

    def forget_one(self, environment_id: str) -> None:
        """A load found that it is deleted, between two checks."""
        if self._state is not None:
            versions = {k: v for k, v in self._state.versions.items() if k != environment_id}
            self._state = replace(self._state, versions=versions)

    def lose(self) -> None:
        """Postgres could not be reached."""
        self.is_reachable = False
        self._asked.set()

    async def first_word(self) -> None:
        """Wait until Postgres was asked once, with whatever result."""
        await self._asked.wait()
