"""Keeps prepared answers in step with the wall clock, by which timed changes come.

A timer wakes for the next one. Each check of the revisions looks as well: timers run by another
clock, which does not notice when somebody sets the wall clock, forward or back.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

from core.snapshot.document import Snapshot
from readserver.answers import Prepared

Now = Callable[[], datetime]
_LONGEST_SLEEP: Final = 3_600.0  # seconds
_log = logging.getLogger(__name__)


class TimedChanges:
    """Prepares what is held anew when it does not hold any more: the same snapshot, another time.

    One set of answers is replaced by another at once, so no request sees two instants.
    """

    def __init__(
        self,
        held: dict[str, Prepared],
        *,
        now: Now,
        prepare: Callable[[Snapshot, datetime], Awaitable[Prepared]],
        on_change: Callable[[], None],
    ) -> None:
        """`held` are the answers that are served, by environment id; `now` is the wall clock."""
        self._held = held
        self._now = now
        self._prepare = prepare
        self._on_change = on_change
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._renewals: dict[str, asyncio.Task[None]] = {}

    def follow_all(self) -> None:
        for environment_id in list(self._held):
            self.follow(environment_id)

    def follow(self, environment_id: str) -> None:
        """Sleep until the environment's next timed change, or prepare anew at once."""
        self._put_out(environment_id)
        held, now = self._held.get(environment_id), self._now()
        if held is None or environment_id in self._renewals:
            return
        if held.holds_at(now):
            if held.until is not None:
                seconds = min((held.until - now).total_seconds(), _LONGEST_SLEEP)
                self._timers[environment_id] = asyncio.get_running_loop().call_later(
                    seconds, self.follow, environment_id
                )
            return
        renewal = asyncio.create_task(self._renew(environment_id))
        self._renewals[environment_id] = renewal
        renewal.add_done_callback(lambda done: self._renewed(environment_id, done))

    async def _renew(self, environment_id: str) -> None:
        """Until what is held holds: a newer snapshot may come meanwhile, and another change."""
        while (held := self._held.get(environment_id)) and not held.holds_at(now := self._now()):
            prepared = await self._prepare(held.snapshot, now)
            if self._held.get(environment_id) is held:
                self._held[environment_id] = prepared
                self._on_change()

    def _renewed(self, environment_id: str, renewal: asyncio.Task[None]) -> None:
        del self._renewals[environment_id]
        if renewal.cancelled():
            return
        if error := renewal.exception():
            _log.error("a timed change could not be prepared", exc_info=error)
            return  # the next check tries again
        self.follow(environment_id)

    def _put_out(self, environment_id: str) -> None:
        if timer := self._timers.pop(environment_id, None):
            timer.cancel()

    async def close(self) -> None:
        for environment_id in list(self._timers):
            self._put_out(environment_id)
        renewals = list(self._renewals.values())
        for renewal in renewals:
            renewal.cancel()
        await asyncio.gather(*renewals, return_exceptions=True)
