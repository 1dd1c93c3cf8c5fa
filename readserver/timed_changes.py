"""Keeps prepared answers in step with the wall clock, by which timed changes come.

The instant of the next one is known, so its answers are made ahead of it, and a timer puts them in
place when it comes. Each check of the revisions looks as well: timers run by another clock, which
does not notice when somebody sets the wall clock, forward or back.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, Final

from core.snapshot.document import Snapshot
from readserver.answers import Prepared

Now = Callable[[], datetime]
# A flag ends in all its environments at once, and their answers are made one after the other.
AHEAD: Final = timedelta(seconds=30)
_LONGEST_SLEEP: Final = 3_600.0  # seconds
_log = logging.getLogger(__name__)


class TimedChanges:
    """Replaces what is held when it does not hold any more: the same snapshot, another time.

    One set of answers is replaced by another at once, so no request sees two instants.
    """

    def __init__(
        self,
        held: dict[str, Prepared],
        *,
        now: Now,
        prepare: Callable[[Snapshot, datetime], Coroutine[Any, Any, Prepared]],
        on_change: Callable[[], None],
    ) -> None:
        """`held` are the answers that are served, by environment id; `now` is the wall clock."""
        self._held = held
        self._now = now
        self._prepare = prepare
        self._on_change = on_change
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._next: dict[str, Prepared] = {}  # made, and not in place yet
        self._preparing: dict[str, asyncio.Task[Prepared]] = {}

    def follow_all(self) -> None:
        for environment_id in list(self._held):
            self.follow(environment_id)

    def follow(self, environment_id: str) -> None:
        """Serve what holds now if it is there, and see to what comes next: make it, or sleep until
        it is time for that."""
        self._put_out(environment_id)
        now = self._now()
        held = self._up_to_date(environment_id, now)
        if held is None or environment_id in self._preparing:
            return  # what is being prepared comes back here
        if not held.holds_at(now):
            self._start(environment_id, held.snapshot, now)
        elif held.until is not None:
            begins_at = held.until
            if environment_id not in self._next:
                begins_at -= AHEAD
            if begins_at <= now:
                self._start(environment_id, held.snapshot, held.until)
            else:
                self._sleep(environment_id, (begins_at - now).total_seconds())

    def _up_to_date(self, environment_id: str, now: datetime) -> Prepared | None:
        """What is held, after what was made has taken its place, if it is time for that."""
        held, ready = self._held.get(environment_id), self._next.get(environment_id)
        if held is None or ready is None:
            self._next.pop(environment_id, None)
            return held
        is_same = ready.snapshot is held.snapshot
        if held.holds_at(now):
            if not is_same or ready.since != held.until:
                del self._next[environment_id]  # of another snapshot, or of a clock set otherwise
            return held
        del self._next[environment_id]
        if is_same and (ready.holds_at(now) or _is_between(held.until, ready.since, now)):
            self._held[environment_id] = held = ready
            self._on_change()
        return held

    def _start(self, environment_id: str, snapshot: Snapshot, at: datetime) -> None:
        preparing = asyncio.create_task(self._prepare(snapshot, at))
        self._preparing[environment_id] = preparing
        preparing.add_done_callback(lambda done: self._made(environment_id, done))

    def _made(self, environment_id: str, preparing: "asyncio.Task[Prepared]") -> None:
        del self._preparing[environment_id]
        if preparing.cancelled():
            return
        if error := preparing.exception():
            _log.error("a timed change could not be prepared", exc_info=error)
            return  # the next check tries again
        self._next[environment_id] = preparing.result()
        self.follow(environment_id)

    def _sleep(self, environment_id: str, seconds: float) -> None:
        self._timers[environment_id] = asyncio.get_running_loop().call_later(
            min(seconds, _LONGEST_SLEEP), self.follow, environment_id
        )

    def _put_out(self, environment_id: str) -> None:
        if timer := self._timers.pop(environment_id, None):
            timer.cancel()

    async def close(self) -> None:
        for environment_id in list(self._timers):
            self._put_out(environment_id)
        preparing = list(self._preparing.values())
        for task in preparing:
            task.cancel()
        await asyncio.gather(*preparing, return_exceptions=True)


def _is_between(end: datetime | None, since: datetime | None, now: datetime) -> bool:
    """Whether what holds from `since` on is nearer to now than what held until `end`, although
    another change may have come after it."""
    return end is not None and since is not None and end <= since <= now
