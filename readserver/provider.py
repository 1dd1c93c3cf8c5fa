"""Composes the stores: memory, then Redis, then Postgres. The place to read about what is
held; how answers say that they may be old is in freshness.py.

- A snapshot that is held (held.py) answers without any I/O.
- A miss, a message and a check that finds something newer all start one flight for the
  environment: Redis if its copy is sealed and new enough, else Postgres, when it is this reader's
  turn; then the others are filled.
- While a flight is up, what is held keeps serving. It is replaced only by something newer, or by
  what Postgres says when Postgres itself went back.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from core.errors import FlagctlError, UnavailableError
from core.snapshot.document import Snapshot, Version
from core.snapshot.load import State
from readserver.answers import Prepared
from readserver.freshness import Freshness
from readserver.held import NEVER, Held
from readserver.last_good import LastGood
from readserver.stores.contract import Loader, SharedCache
from readserver.telemetry import Counts
from readserver.truth import Truth
from readserver.turns import Turn

MISS_TIMEOUT_SECONDS: Final = 10.0
_PAUSE_AFTER_FALSE_HINT: Final = 0.05  # seconds; it delays a true one no longer than this
_CATCH_UP_SECONDS: Final = 1.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """Prepared answers, and where this request's snapshot came from: memory, redis, database."""

    prepared: Prepared
    source: str


class Provider:
    """Sees to it that what is held is what Postgres has. Lives on one event loop."""

    def __init__(
        self,
        *,
        held: Held,
        redis: SharedCache | None,
        postgres: Loader,
        truth: Truth,
        freshness: Freshness,
        counts: Counts,
        ask_for_check: Callable[[], None],
        ask_about_unknown: Callable[[], bool],
        on_filled: Callable[[str], None] = lambda _: None,
    ) -> None:
        """`ask_about_unknown` asks for a check and says whether one is granted: it is rationed.
        `on_filled` is called when Redis has a copy that was loaded here."""
        self._held = held
        held.watchers.append(self)  # see `dropped`
        self._redis = redis
        self._postgres = postgres
        self._truth = truth
        self._freshness = freshness
        self.counts = counts
        self._ask_for_check = ask_for_check
        self._ask_about_unknown = ask_about_unknown
        self._on_filled = on_filled
        self._hints: dict[str, int] = {}
        self._went_back: set[str] = set()
        self._pauses: dict[str, asyncio.TimerHandle] = {}  # after false hints
        self._flights: dict[str, asyncio.Task[str]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._load_seconds: dict[str, float] = {}  # until Redis had it
        self._waiting: dict[str, Turn] = {}  # for the copy of another reader
        self._filling: set[str] = set()  # environments whose copy is on its way to Redis
        self._readings: dict[str, asyncio.Task[Prepared | None]] = {}
        self.last_good: LastGood | None = None

    @property
    def can_recall(self) -> bool:
        """Whether there are last-good files, and still nothing better."""
        return not self._truth.is_known and self.last_good is not None and self.last_good.has_any

    async def get(self, environment_id: str) -> Found | None:
        """The environment's answers; None when there is no such environment.

        Raises UnavailableError when nothing is held and no store can say.
        """
        found = await self.find(environment_id)
        if found is not None:
            self.counts.hits[found.source] += 1
        return found

    async def find(self, environment_id: str) -> Found | None:
        """As `get`, for nobody who asked."""
        if held := self._held.asked_for(environment_id):
            return Found(held, "memory")
        await self._truth.first_word()
        if self.can_recall:
            await self._recalled(environment_id)
            # Not what that says: whoever waits for it wakes later, and a check may have said since
            # that the environment was deleted.
            if held := self._held.prepared(environment_id):
                return Found(held, "memory")
        if not self._truth.is_known:
            raise UnavailableError("Postgres cannot be reached, and nothing is held")
        # Ids are cheap to make up, so those that Postgres did not list are rationed.
        if not self._truth.has(environment_id) and not self._ask_about_unknown():
            if self._truth.is_stale:
                raise UnavailableError("Postgres cannot be reached to say whether this exists")
            return None
        source = await self._fly(environment_id)
        prepared = self._held.prepared(environment_id)
        if prepared is None and self._truth.has(environment_id):
            raise UnavailableError("more environments are asked for at once than may be held")
        return Found(prepared, source) if prepared is not None else None

    async def at_least(self, found: Found, revision: int) -> Found | None:
        """`found`, or what is newer, where a client was told of `revision` by another server: one
        flight is waited for, a second at most. A revision that was made up only costs its time.
        None if Postgres says that the environment is gone."""
        snapshot = found.prepared.snapshot
        if revision <= snapshot.revision:
            return found
        self.hint(snapshot.environment_id, revision, "client")
        if flight := self._flights.get(snapshot.environment_id):
            await asyncio.wait({flight}, timeout=_CATCH_UP_SECONDS)
        prepared = self._held.prepared(snapshot.environment_id)
        if prepared is None:  # others are asked for more, or it was deleted
            is_gone = self._truth.is_known and not self._truth.has(snapshot.environment_id)
            return None if is_gone else found
        return found if prepared is found.prepared else Found(prepared, "memory")

    async def _recalled(self, environment_id: str) -> Prepared | None:
        """From the last-good file, while Postgres is away. One reading for all who ask."""
        reading = self._readings.get(environment_id)
        if reading is None:
            reading = asyncio.create_task(self._recall(environment_id))
            self._readings[environment_id] = reading
            reading.add_done_callback(lambda _: self._readings.pop(environment_id))
        try:
            async with asyncio.timeout(MISS_TIMEOUT_SECONDS):
                return await asyncio.shield(reading)
        except TimeoutError:
            raise UnavailableError("the disk takes too long to answer") from None

    async def _recall(self, environment_id: str) -> Prepared | None:
        kept = await self.last_good.recall(environment_id) if self.last_good is not None else None
        if kept is None:
            return None
        prepared = await self._held.prepare(kept.snapshot)
        if not self._is_last_word(kept.snapshot):
            return None
        if self._held.put(kept.snapshot, prepared, at=NEVER):
            self._truth.recall(time.time() - kept.confirmed_at)
        return self._held.prepared(environment_id)

    def _is_last_word(self, snapshot: Snapshot) -> bool:
        """Whether Postgres, which is away, has said nothing newer to this process."""
        known = self._truth.version(snapshot.environment_id)
        return self._truth.is_stale and (not self._truth.is_known or known == snapshot.version)

    async def _fly(self, environment_id: str) -> str:
        """Wait for the environment's one flight; where it got the snapshot from."""
        try:
            async with asyncio.timeout(MISS_TIMEOUT_SECONDS):
                return await asyncio.shield(self._start(environment_id))
        except TimeoutError:
            raise UnavailableError("the stores take too long to answer") from None

    def hint(self, environment_id: str, revision: int, channel: str) -> None:
        """Somebody says that the environment is at this revision. It may be forged, or late."""
        self.counts.notifications[channel] += 1
        held = self._held.version(environment_id)
        if held is None and not self._truth.has(environment_id):
            # A new environment, most likely; but whoever reaches Redis can make up ids.
            self._ask_for_check() if channel == "postgres" else self._ask_about_unknown()
            return
        if held is not None and revision <= held.revision:
            return
        self._hints[environment_id] = max(revision, self._hints.get(environment_id, 0))
        if held is not None and environment_id not in self._pauses:
            self._start(environment_id)

    def verified(self, state: State, asked_at: float) -> None:
        """A check answered: drop what was deleted, reload what is not what Postgres has."""
        was_stale = self._truth.is_stale
        self._truth.learn(state, asked_at)
        if self._redis is not None:
            self._redis.trust(state.secret)
        for snapshot in self._held:
            id_ = snapshot.environment_id
            if self._held.confirmed_at(id_) > asked_at:
                continue  # newer than the question
            now = state.versions.get(id_)
            if now is None:
                self._held.drop(id_)
            elif now != snapshot.version:
                if now.epoch == snapshot.epoch and now.revision <= snapshot.revision:
                    self._went_back.add(id_)
                elif now.epoch == snapshot.epoch:
                    # A flight that is up may have asked Postgres before this revision was there.
                    self._hints[id_] = max(now.revision, self._hints.get(id_, 0))
                self._freshness.expect(id_)
                self._start(id_)
            else:
                self._held.confirm(id_, asked_at)
                self._freshness.confirm(id_)
        if was_stale:
            self._held.on_change()
        self._held.follow_time()

    def lost(self) -> None:
        """Postgres cannot be reached: what is held serves on, and says so."""
        if self._truth.is_reachable:
            _log.warning("Postgres cannot be reached; serving what is held")
        self._truth.lose()
        self._held.on_change()
        self._held.follow_time()

    def _start(self, environment_id: str) -> asyncio.Task[str]:
        flight = self._flights.get(environment_id)
        if flight is None or flight.done():  # done, and its callback still to come
            flight = asyncio.create_task(self._refresh(environment_id))
            self._flights[environment_id] = flight
            flight.add_done_callback(lambda done: self._landed(environment_id, done))
        return flight

    def _landed(self, environment_id: str, flight: asyncio.Task[str]) -> None:
        if self._flights.get(environment_id) is flight:
            del self._flights[environment_id]
        if flight.cancelled():
            return
        error = flight.exception()
        if error is not None and not isinstance(error, FlagctlError):
            _log.error("a load failed", exc_info=error)

    async def _refresh(self, environment_id: str) -> str:
        """Fetch until no hint is left that came after the fetch began."""
        while True:
            hint = self._hints.pop(environment_id, 0)
            held = self._held.version(environment_id)
            source = await self._fetch(environment_id, hint, held)
            now = self._held.version(environment_id)
            if now is not None and hint > now.revision:
                self._pause(environment_id)  # what came meanwhile is followed after it
                return source
            if now is None or self._hints.get(environment_id, 0) <= now.revision:
                self._hints.pop(environment_id, None)
                return source

    def _pause(self, environment_id: str) -> None:
        """Follow no hint for a while: whoever reaches Redis can make up one after the other."""
        if environment_id not in self._pauses:
            self._pauses[environment_id] = asyncio.get_running_loop().call_later(
                _PAUSE_AFTER_FALSE_HINT, self._resume, environment_id
            )

    def _resume(self, environment_id: str) -> None:
        self._pauses.pop(environment_id, None)
        held = self._held.version(environment_id)
        if held is not None and self._hints.get(environment_id, 0) > held.revision:
            self._start(environment_id)

    async def _fetch(self, environment_id: str, hint: int, held: Version | None) -> str:
        turn = Turn(self._redis, environment_id, self.counts)
        if environment_id in self._went_back:
            return await self._load(environment_id, None, turn, goes_back=True)
        may_be_there = self._truth.is_stale or await self._has_copy(environment_id, hint, turn)
        if may_be_there and await self._take_copy(environment_id, hint, held):
            return "redis"
        if self._truth.is_stale:
            if held is None and await self._recalled(environment_id) is None:
                raise UnavailableError("Postgres cannot be reached, and nothing is held")
            return "memory"
        return await self._load(environment_id, held, turn)

    async def _has_copy(self, environment_id: str, hint: int, turn: Turn) -> bool:
        """Whether Redis says that another reader loaded it; else it is this one's turn."""
        bound = self._truth.bound(environment_id, hint)
        if bound is None or environment_id in self._filling:
            return False  # whoever still fills Redis with the last load has the turn
        took = self._load_seconds.get(environment_id, 0.0)
        self._waiting[environment_id] = turn
        try:
            return await turn.wait(bound, load_seconds=took)
        finally:
            del self._waiting[environment_id]

    def filled(self, environment_id: str) -> None:
        """Another worker of the host has put a copy into Redis."""
        if turn := self._waiting.get(environment_id):
            turn.wake()

    async def _take_copy(self, environment_id: str, hint: int, held: Version | None) -> bool:
        snapshot = await self._from_redis(environment_id, hint)
        if snapshot is None or (held is not None and not snapshot.version.is_newer_than(held)):
            return False
        self.counts.redis_hits += 1
        await self._keep(snapshot)
        return True

    async def _load(
        self, environment_id: str, held: Version | None, turn: Turn, *, goes_back: bool = False
    ) -> str:
        began = time.monotonic()
        try:
            found = await self._postgres.refresh(environment_id, unless=held)
        except UnavailableError:
            self._start_background(turn.end())
            self._ask_for_check()  # which says whether Postgres is away, or only this does not come
            raise
        self._went_back.discard(environment_id)
        if isinstance(found, Snapshot):
            self._truth.learn_one(environment_id, found.version, goes_back=goes_back)
            # Before the answers are made: other readers wait for it.
            self._filling.add(environment_id)
            self._start_background(self._fill_redis(found, turn, began, replace=goes_back))
            await self._keep(found, replace=goes_back)
        else:
            self._start_background(turn.end())
            if found is None:
                self._truth.forget_one(environment_id)
                self._held.drop(environment_id)
        return "database"

    async def _from_redis(self, environment_id: str, hint: int) -> Snapshot | None:
        """Redis's copy, if it is at least what Postgres last said. A hint that only Postgres could
        confirm does not count while Postgres is away."""
        bound = self._truth.bound(environment_id, 0 if self._truth.is_stale else hint)
        if self._redis is None or bound is None:
            return None
        return await self._redis.get(environment_id, bound)

    async def _keep(self, snapshot: Snapshot, *, replace: bool = False) -> None:
        """Prepare the answers, then put snapshot and answers in place at once."""
        prepared = await self._held.prepare(snapshot)
        self._held.put(snapshot, prepared, at=time.monotonic(), goes_back=replace)

    async def _fill_redis(
        self, snapshot: Snapshot, turn: Turn, began: float, *, replace: bool
    ) -> None:
        try:
            if self._redis is not None:
                await self._redis.put(snapshot, replace=replace)
                self._on_filled(snapshot.environment_id)
            await turn.end()
        finally:
            took, id_ = time.monotonic() - began, snapshot.environment_id
            # Whatever held up one load, the next turn is not waited for as long.
            self._load_seconds[id_] = min(took, 2 * self._load_seconds.get(id_, took))
            self._filling.discard(snapshot.environment_id)

    def _start_background(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    def kept(self, snapshot: Snapshot, *, goes_back: bool) -> None: ...

    def dropped(self, environment_id: str, *, is_deleted: bool) -> None:  # noqa: ARG002 - either way
        self._hints.pop(environment_id, None)
        self._load_seconds.pop(environment_id, None)

    async def close(self) -> None:
        for pause in self._pauses.values():
            pause.cancel()
        tasks = [*self._flights.values(), *self._readings.values(), *self._background]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._freshness.close()
        await self._held.close()  # nobody has anything prepared any more
