"""All event streams of this process: who is behind is found at once, and told at a pace.

A client that hears of a change asks for all flags at once, so the pace at which clients are told is
the pace at which they ask: at most `rate` a second, in slices between which everything else has its
turn. Environments take turns, one stream each.
"""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from starlette.exceptions import HTTPException

from core.errors import UnavailableError
from readserver.answers import Prepared
from readserver.auth import expires_at
from readserver.event_stream import EventStream
from readserver.stream_events import event_of
from readserver.telemetry import Counts

SLICE: Final = 200  # streams
_RETRY_AFTER: Final = {"Retry-After": "10"}  # seconds


@dataclass(frozen=True, slots=True)
class StreamBounds:
    """Streams of the process, and of one API key; seconds between two heartbeats; how many
    streams a second are told of changes."""

    most: float = 10_000
    most_per_key: float = 5_000
    heartbeat: float = 15.0
    rate: float = 2_000.0


@dataclass(slots=True)
class _Audience:
    """The streams of one environment. All of them know `seen`, or are `behind`."""

    seen: Prepared | None
    streams: dict[EventStream, None] = field(default_factory=dict)
    behind: deque[EventStream] = field(default_factory=deque)
    next_end: float = float("inf")  # of a key or a token, seconds since 1970


class Streams:
    """Lives on one event loop."""

    def __init__(
        self,
        held: Callable[[str], Prepared | None],
        counts: Counts,
        bounds: StreamBounds,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`held` gives what is served of an environment now; `clock` seconds since 1970."""
        self._held = held
        self._counts = counts
        self._bounds = bounds
        self._clock = clock
        self._audiences: dict[str, _Audience] = {}
        self._by_key: Counter[bytes] = Counter()
        self._wanted = asyncio.Event()
        self._behind: deque[_Audience] = deque()  # those with streams behind, the next one first
        self._is_behind = asyncio.Event()
        self._stopping = asyncio.Event()

    def __len__(self) -> int:
        return self._by_key.total()

    def __contains__(self, environment_id: str) -> bool:
        """Whether somebody follows it."""
        return environment_id in self._audiences

    def check(self, key: bytes) -> None:
        """Raises HTTPException (503, 429) and UnavailableError when there is no room for more."""
        if self._stopping.is_set():
            raise UnavailableError("this server is about to stop")
        if len(self) >= self._bounds.most:
            raise HTTPException(503, "this server has as many streams as it takes", _RETRY_AFTER)
        if self._by_key[key] >= self._bounds.most_per_key:
            raise HTTPException(429, "this API key has as many streams as it may", _RETRY_AFTER)

    def add(self, stream: EventStream) -> None:
        """From now on it is told. Whoever adds it has asked `check`."""
        environment_id = stream.environment_id
        audience = self._audiences.get(environment_id)
        if audience is None:
            audience = self._audiences[environment_id] = _Audience(stream.known)
        audience.streams[stream] = None
        self._by_key[stream.key] += 1
        next_end = audience.next_end
        self._look(stream, audience)  # something may have changed while it was made
        if audience.next_end < next_end:
            self.wake()

    def remove(self, stream: EventStream, *, timed_out: bool) -> None:
        """It is over, from whichever side; `timed_out` if the client said nothing for too long."""
        environment_id = stream.environment_id
        audience = self._audiences[environment_id]
        del audience.streams[stream]
        if not audience.streams:
            del self._audiences[environment_id]
        self._by_key[stream.key] -= 1
        if not self._by_key[stream.key]:
            del self._by_key[stream.key]
        if timed_out or stream.is_behind:
            self._counts.streams_dropped += 1
        stream.is_ending = True  # what began before may still come to it

    def wake(self) -> None:
        """Something may have changed."""
        self._wanted.set()

    def stop(self) -> None:
        """End all streams, and take no new ones: the process is about to stop."""
        self._stopping.set()
        self.wake()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch())
            group.create_task(self._tell_all())

    async def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        beat_at = loop.time() + self._bounds.heartbeat
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._rest(beat_at - loop.time())):
                    await self._wanted.wait()
            self._wanted.clear()
            beats = loop.time() >= beat_at
            if beats:
                beat_at = loop.time() + self._bounds.heartbeat
            await self._round(beats=beats)

    def _rest(self, until_beat: float) -> float:
        ends = (audience.next_end for audience in self._audiences.values())
        return max(0.0, min(until_beat, min(ends, default=float("inf")) - self._clock()))

    async def _round(self, *, beats: bool) -> None:
        """Look at each stream of which there may be something to say."""
        looked = 0
        for environment_id, audience in list(self._audiences.items()):
            if not self._is_due(environment_id, audience) and not beats:
                continue
            for stream in list(audience.streams):
                self._look(stream, audience, beats=beats)
                looked += 1
                if looked % SLICE == 0:
                    await asyncio.sleep(0)

    def _is_due(self, environment_id: str, audience: _Audience) -> bool:
        held, now = self._held(environment_id), self._clock()
        if held is audience.seen and now < audience.next_end and not self._stopping.is_set():
            return False
        audience.seen, audience.next_end = held, float("inf")
        return True

    def _look(self, stream: EventStream, audience: _Audience, *, beats: bool = False) -> None:
        """End it, or see that it is told, or show that it is alive."""
        if stream.is_ending:
            return
        held = self._held(stream.environment_id)
        ends_at = _end_of(stream, held)
        if self._stopping.is_set() or ends_at <= self._clock():
            stream.end()
            return
        audience.next_end = min(audience.next_end, ends_at)
        if held is not stream.known:
            if not stream.is_waiting:
                stream.is_waiting = True
                self._queue(stream, audience)
        elif beats:
            stream.beat()

    def _queue(self, stream: EventStream, audience: _Audience) -> None:
        if not audience.behind:
            self._behind.append(audience)
        audience.behind.append(stream)
        self._is_behind.set()

    async def _tell_all(self) -> None:
        while True:
            await self._is_behind.wait()
            told = sum(self._tell(stream) for stream in islice(self._in_turns(), SLICE))
            if not self._behind:
                self._is_behind.clear()
            await self._pause(told)

    def _in_turns(self) -> Iterator[EventStream]:
        while self._behind:
            audience = self._behind.popleft()
            stream = audience.behind.popleft()
            if audience.behind:
                self._behind.append(audience)
            yield stream

    def _tell(self, stream: EventStream) -> bool:
        """What is true by now, which may be newer than what it was found to be behind of."""
        stream.is_waiting = False
        held = self._held(stream.environment_id)
        if stream.is_ending or held is None or stream.key not in held.snapshot.auth.keys:
            return False  # the next round ends it
        if held is stream.known:
            return False
        stream.known = held
        stream.say(event_of(held).text)
        self._counts.stream_events += 1
        return True

    async def _pause(self, told: int) -> None:
        """Let others have their turn, and the ones that were told ask."""
        if not told or self._stopping.is_set():
            await asyncio.sleep(0)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(told / self._bounds.rate):
                await self._stopping.wait()


def _end_of(stream: EventStream, held: Prepared | None) -> float:
    """When its token or its key ends: at once, if there is no such key any more."""
    grant = held.snapshot.auth.keys.get(stream.key) if held is not None else None
    return min(stream.ends_at, expires_at(grant)) if grant is not None else float("-inf")
