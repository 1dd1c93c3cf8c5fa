"""What is served from memory: each environment's last snapshot, with the answers made from it.

It asks no store. A snapshot is replaced by something newer, or by what Postgres went back to, and
its answers at once with it. What changes with time alone is followed too (timed_changes.py).
"""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from functools import partial
from typing import Final

from core import clock
from core.evaluation.ruleset import Ruleset
from core.snapshot.document import Snapshot, Version
from readserver.answers import Prepared, prepare
from readserver.stores.memory import MemoryStore
from readserver.timed_changes import Now, TimedChanges
from readserver.watchers import Watcher

MOST_ENVIRONMENTS: Final = 1_000
NEVER: Final = float("-inf")
_FEW: Final = 100  # flags and configs


class Held:
    """Snapshots and prepared answers by environment id. Lives on one event loop."""

    def __init__(
        self,
        memory: MemoryStore,
        *,
        on_change: Callable[[], None],
        prepare: Callable[[Snapshot, datetime], Prepared] = prepare,
        now: Now = clock.now,
        most: int = MOST_ENVIRONMENTS,
        is_followed: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`on_change` is called whenever an answer may be another than before. `now` is the wall
        clock, which timed changes follow. `is_followed` says of an environment whether it has
        streams."""
        self.on_change = on_change
        self.watchers: list[Watcher] = []
        self._memory = memory
        self._prepare = prepare
        self._now = now
        self._most = most
        self._is_followed = is_followed
        self._prepared = OrderedDict[str, Prepared]()  # the one asked for last is last
        self._confirmed_at: dict[str, float] = {}  # when Postgres had what is held
        # Threads of their own: what else is done beside the loop holds up no change, nor do timed
        # ones, of which many can come at once. Two, so that a large environment does not hold up
        # the small ones; more would contend with the loop for the interpreter.
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="flagctl-prepare")
        self._timed_thread = ThreadPoolExecutor(1, thread_name_prefix="flagctl-timed")
        self._timed = TimedChanges(
            self._prepared,
            now=now,
            prepare=partial(self._prepare_in, self._timed_thread),
            on_change=on_change,
        )

    def __len__(self) -> int:
        return len(self._memory)

    def __iter__(self) -> Iterator[Snapshot]:
        return iter(self._memory)

    def version(self, environment_id: str) -> Version | None:
        return self._memory.version(environment_id)

    def prepared(self, environment_id: str) -> Prepared | None:
        """What is served of it now."""
        return self._prepared.get(environment_id)

    def asked_for(self, environment_id: str) -> Prepared | None:
        """The same, for somebody who asked: it is let go after those that nobody asks for."""
        if held := self._prepared.get(environment_id):
            self._prepared.move_to_end(environment_id)
        return held

    def nobody_asked_for(self, environment_id: str) -> None:
        """It is let go before what somebody asked for."""
        if environment_id in self._prepared:
            self._prepared.move_to_end(environment_id, last=False)

    def ages(self, otherwise: float) -> Iterator[tuple[Snapshot, float]]:
        """Every snapshot, and for how many seconds Postgres has not confirmed it; `otherwise` where
        it never did."""
        now = time.monotonic()
        for snapshot in self._memory:
            at = self._confirmed_at[snapshot.environment_id]
            yield snapshot, otherwise if at == NEVER else max(0.0, now - at)

    def age_seconds(self, environment_id: str) -> float:
        """For how long Postgres has not confirmed what is held; 0 where it never did."""
        at = self._confirmed_at.get(environment_id, NEVER)
        return 0.0 if at == NEVER else max(0.0, time.monotonic() - at)

    def confirmed_at(self, environment_id: str) -> float:
        return self._confirmed_at[environment_id]

    def confirm(self, environment_id: str, at: float) -> None:
        """Postgres was asked then, and has what is held."""
        self._confirmed_at[environment_id] = at

    async def prepare(self, snapshot: Snapshot) -> Prepared:
        """Its answers as of now, for `put`."""
        prepared = await self._prepare_in(self._threads, snapshot, self._now())
        if not prepared.holds_at(now := self._now()):
            # A timed change came meanwhile. What is held may be past it, and is not to go back.
            prepared = await self._prepare_in(self._threads, snapshot, now)
        return prepared

    async def _prepare_in(
        self, threads: ThreadPoolExecutor, snapshot: Snapshot, at: datetime
    ) -> Prepared:
        if _is_quick(snapshot):
            return self._prepare(snapshot, at)  # takes less than handing it to a thread
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads, self._prepare, snapshot, at)

    def put(
        self, snapshot: Snapshot, prepared: Prepared, *, at: float, goes_back: bool = False
    ) -> bool:
        """Answer with it from now on, if it is newer or `goes_back`; whether it is. `at`: a check
        that was asked before says nothing about it."""
        if not self._memory.keep(snapshot, replace=goes_back):
            return False
        self._prepared[snapshot.environment_id] = prepared
        self._confirmed_at[snapshot.environment_id] = at
        self.on_change()
        self._timed.follow(snapshot.environment_id)
        for watcher in self.watchers:
            watcher.kept(snapshot, goes_back=goes_back)
        if len(self._prepared) > self._most:
            self._let_go()
        return True

    def _let_go(self) -> None:
        """Of what was not asked for longest, rather one that no stream follows. Whoever has an
        accepted key asks the memo instead of here; but every change empties that, and then all who
        are at work ask here again."""
        older = list(self._prepared)[:-1]
        free = (id_ for id_ in older if not self._is_followed(id_))
        self.drop(next(free, older[0]), is_deleted=False)

    def drop(self, environment_id: str, *, is_deleted: bool = True) -> None:
        self._memory.drop(environment_id)
        self._prepared.pop(environment_id, None)
        self._confirmed_at.pop(environment_id, None)
        self._timed.follow(environment_id)
        self.on_change()
        for watcher in self.watchers:
            watcher.dropped(environment_id, is_deleted=is_deleted)

    def follow_time(self) -> None:
        """Look whether all answers hold at this moment: the wall clock may have been set."""
        self._timed.follow_all()

    async def close(self) -> None:
        await self._timed.close()
        for threads in (self._threads, self._timed_thread):
            threads.shutdown(wait=False, cancel_futures=True)


def _is_quick(snapshot: Snapshot) -> bool:
    """Whether it is prepared at once: little is in it, and no rules, which can be of any size."""
    served = snapshot.served
    few = len(served.flags) + len(served.configs) <= _FEW
    return few and not served.segments and not any(map(_has_rules, served.flags))


def _has_rules(flag: Ruleset) -> bool:
    return isinstance(flag.targeting, dict) and bool(flag.targeting.get("rules"))
