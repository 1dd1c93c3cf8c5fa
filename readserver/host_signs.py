"""Which workers of a host live, and which of them leads: a few numbers in memory that they share.

Each worker writes its own numbers alone. So nothing is locked, and nobody can be stopped with a
lock in its hands. Who leads follows from the numbers: of those that give signs of life, the one
that has done so longest. Whoever was silent for too long begins anew when it wakes, behind the
others.
"""

import math
import mmap
import time
from collections.abc import Callable
from enum import IntEnum
from typing import Final

BEAT_SECONDS: Final = 0.1
# Of silence, after which another leads. A loop that is busy may be silent for a while.
PATIENCE_SECONDS: Final = 1.0
# Of silence, after which nobody waits for a check that it began.
_CHECK_PATIENCE_SECONDS: Final = 0.3
_UNKNOWN_PAUSE: Final = 1.0  # seconds between two checks for ids that nobody knows
_NEVER: Final = -math.inf


class _Number(IntEnum):
    """What a worker says of itself: moments of time.monotonic, which is the same in all of them."""

    SINCE = 0  # it has been alive without a gap
    BEAT = 1  # the last sign of life
    CHECKING = 2  # when the check began that it makes, if it makes one
    UNKNOWN = 3  # when it last was granted a check for an id that nobody knows


class Signs:
    """The numbers of all workers of a host."""

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._workers = range(workers)
        self._clock = clock
        self._memory = memoryview(mmap.mmap(-1, workers * len(_Number) * 8)).cast("d")
        for worker in self._workers:
            self.leave(worker)

    def join(self, worker: int) -> None:
        self.leave(worker)
        self._write(worker, _Number.SINCE, self._clock())
        self._write(worker, _Number.BEAT, self._clock())

    def beat(self, worker: int) -> None:
        """A sign of life, which has to come at least every PATIENCE_SECONDS."""
        now = self._clock()
        if now - self._read(worker, _Number.BEAT) > PATIENCE_SECONDS:
            self._write(worker, _Number.SINCE, now)
        self._write(worker, _Number.BEAT, now)

    def leave(self, worker: int) -> None:
        """It ends; said by itself, or by whoever buried it."""
        for number in _Number:
            self._write(worker, number, _NEVER)

    def order(self, patience: float = PATIENCE_SECONDS) -> list[int]:
        """Those that were not silent for longer. The first leads."""
        living = (worker for worker in self._workers if self._lives(worker, patience))
        return sorted(living, key=lambda worker: (self._read(worker, _Number.SINCE), worker))

    def begin_check(self, worker: int) -> bool:
        """Whether it may make one: nobody else does. Of two that say so at once none may."""
        if self._is_checked_beside(worker):
            return False
        self._write(worker, _Number.CHECKING, self._clock())
        if self._is_checked_beside(worker):
            self.end_check(worker)
            return False
        return True

    def end_check(self, worker: int) -> None:
        self._write(worker, _Number.CHECKING, _NEVER)

    def grant_unknown(self, worker: int) -> bool:
        """Once a second, whoever asks."""
        now = self._clock()
        last = max(self._read(each, _Number.UNKNOWN) for each in self._workers)
        if now - last < _UNKNOWN_PAUSE:
            return False
        self._write(worker, _Number.UNKNOWN, now)
        return True

    def _lives(self, worker: int, patience: float) -> bool:
        return self._clock() - self._read(worker, _Number.BEAT) <= patience

    def _is_checked_beside(self, worker: int) -> bool:
        return any(
            self._read(other, _Number.CHECKING) != _NEVER
            and self._lives(other, _CHECK_PATIENCE_SECONDS)
            for other in self._workers
            if other != worker
        )

    def _read(self, worker: int, number: _Number) -> float:
        return self._memory[worker * len(_Number) + number]

    def _write(self, worker: int, number: _Number, value: float) -> None:
        self._memory[worker * len(_Number) + number] = value
