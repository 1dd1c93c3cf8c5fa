"""Tells in Redis who this reader is and which revisions it serves, so that a write can wait for it.

One short command on every heartbeat, and one soon after something new is served. Nothing waits for
it, and nothing depends on it.
"""

import asyncio
import os
import secrets
import socket
from collections.abc import Sequence
from typing import Final

import core
from core.cache import receipts
from core.snapshot.document import Snapshot
from readserver.stores.memory import MemoryStore
from readserver.stores.redis import RedisStore
from readserver.truth import Truth

_HEARTBEAT_SECONDS: Final = 2.0
_ANEW_EVERY: Final = 15  # heartbeats: Redis may have been set back, or written to by others
_MOST_AT_ONCE: Final = 1_000  # environments in one command


class Receipts:
    """A watcher of what is held; `run` is its task."""

    def __init__(self, redis: RedisStore, memory: MemoryStore, truth: Truth) -> None:
        self.id = secrets.token_hex(8)
        self._redis = redis
        self._memory = memory
        self._truth = truth
        self._news: dict[str, str] = {}
        self._dropped: set[str] = set()
        self._wanted = asyncio.Event()
        self._is_told = False  # whether Redis has all but the news

    def kept(self, snapshot: Snapshot, *, goes_back: bool) -> None:  # noqa: ARG002 - either way
        self._dropped.discard(snapshot.environment_id)
        self._news[snapshot.environment_id] = _rendered(snapshot)
        self._wanted.set()

    def dropped(self, environment_id: str, *, is_deleted: bool) -> None:  # noqa: ARG002 - either way
        self._news.pop(environment_id, None)
        self._dropped.add(environment_id)
        self._wanted.set()

    async def run(self) -> None:
        beats = 0
        while True:
            self._wanted.clear()
            await self._tell()
            try:
                async with asyncio.timeout(_HEARTBEAT_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                beats += 1
                self._is_told = self._is_told and beats % _ANEW_EVERY != 0

    async def _tell(self) -> None:
        news, dropped = self._news, self._dropped
        self._news, self._dropped = {}, set()
        fields = self._about() | news
        if not self._is_told or len(fields) + len(dropped) > _MOST_AT_ONCE:
            await self._tell_all()
            return
        done = await self._say(fields, removed=sorted(dropped))
        if done == 0:
            await self._tell_all()
        self._is_told = done is not None

    async def _tell_all(self) -> None:
        """From nothing: after a start, after Redis was away, and where there is too much news."""
        held = [(snapshot.environment_id, _rendered(snapshot)) for snapshot in self._memory]
        done = await self._say(self._about(), anew=True)
        for start in range(0, len(held), _MOST_AT_ONCE):
            if done:
                done = await self._say(dict(held[start : start + _MOST_AT_ONCE]))
        self._is_told = bool(done)

    async def _say(
        self, fields: dict[str, str], *, removed: Sequence[str] = (), anew: bool = False
    ) -> int | None:
        """1 when it is told, 0 when all has to be told, None when Redis is away."""
        arguments = receipts.announce_arguments(self.id, fields, removed=removed, anew=anew)
        answer = await self._redis.tell(receipts.ANNOUNCE, arguments)
        return answer if answer in (0, 1) else None

    def _about(self) -> dict[str, str]:
        return receipts.about(
            host=socket.gethostname(),
            pid=os.getpid(),
            version=core.__version__,
            epoch=self._truth.epoch,
            age_seconds=None if self._truth.is_stale else self._truth.age_seconds,
            holds=len(self._memory),
        )

    async def leave(self) -> None:
        """Nobody is to wait for a reader that stopped."""
        await self._redis.tell(receipts.LEAVE, receipts.leave_arguments(self.id))


def _rendered(snapshot: Snapshot) -> str:
    return receipts.Served(snapshot.epoch, snapshot.revision, snapshot.stamp).render()
