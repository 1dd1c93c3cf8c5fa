"""Several processes that answer on the same sockets, and the one that keeps them.

The supervisor has no loop and no threads, so that it can fork at any time. Each worker has a memory
of its own. They share the sockets, which the supervisor holds open: while one is started again, the
others answer, and what connects waits in the kernel.
"""

import logging
import os
import select
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, NoReturn

from readserver.backoff import Backoff

USAGE: Final = 2  # as the CLI's exit code for invalid input: no second try would change it
_GRACE_SECONDS: Final = 15.0  # what they have to stop; they end their requests in ten
_SOUND_AFTER_SECONDS: Final = 10.0  # whatever ends a worker later, is no fault of its start
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)
_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Worker:
    """One of the processes, through all its lives. `index` is from 0."""

    index: int
    pid: int | None = None
    due_at: float = 0.0  # when to start it again
    started_at: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)


class Lifeline:
    """A pipe that ends when the supervisor does, however that happens."""

    def __init__(self) -> None:
        self.end, self._held = os.pipe()

    def let_go(self) -> None:
        """In a worker: only the supervisor holds the other end."""
        os.close(self._held)


class Supervisor:
    """Starts `count` workers, and again whichever dies, until it is told to stop."""

    def __init__(
        self, count: int, work: Callable[[int, int], int], on_end: Callable[[int], None]
    ) -> None:
        """`work` gets a worker's index and a file that ends with the supervisor, and returns the
        exit code. `on_end` gets the index of one that has ended."""
        self._workers = [Worker(index) for index in range(count)]
        self._work = work
        self._on_end = on_end
        self._lifeline = Lifeline()
        self._code = 0
        self._stops_at: float | None = None  # when what still runs is killed

    def run(self) -> int:
        """Until all workers are gone. The exit code."""
        with _woken() as wake:
            while self._stops_at is None or any(worker.pid for worker in self._workers):
                self._start_due()
                select.select([wake], [], [], self._patience())
                with suppress(BlockingIOError):
                    if {signal.SIGTERM, signal.SIGINT} & set(os.read(wake, 4_096)):
                        self._stop()
                self._reap()
                if self._stops_at is not None and time.monotonic() >= self._stops_at:
                    self._signal(signal.SIGKILL)
        return self._code

    def _start_due(self) -> None:
        for worker in self._workers:
            is_due = worker.pid is None and time.monotonic() >= worker.due_at
            if is_due and self._stops_at is None:
                worker.started_at = time.monotonic()
                # What comes meanwhile is for the worker as it will be, not for this program's copy.
                signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
                try:
                    worker.pid = os.fork() or self._become(worker)
                except OSError:  # too many processes, or too little memory
                    self._ended(worker, 1)
                signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def _become(self, worker: Worker) -> NoReturn:
        """What a worker does with its life."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in _SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
            self._lifeline.let_go()
            code = self._work(worker.index, self._lifeline.end)
        except BaseException:
            _log.exception("a worker failed")
        finally:
            sys.stderr.flush()
            os._exit(code)

    def _patience(self) -> float | None:
        """Seconds until there is something to do without being told."""
        if self._stops_at is not None:
            return max(0.05, self._stops_at - time.monotonic())
        due = [worker.due_at for worker in self._workers if worker.pid is None]
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _reap(self) -> None:
        for worker in self._workers:
            if worker.pid is None:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid:
                worker.pid = None
                self._on_end(worker.index)
                self._ended(worker, os.waitstatus_to_exitcode(status))

    def _ended(self, worker: Worker, code: int) -> None:
        if self._stops_at is not None:
            self._code = self._code or (1 if code == -signal.SIGKILL else max(0, code))
        elif code == USAGE:
            self._code = code
            self._stop()
        else:
            if time.monotonic() - worker.started_at > _SOUND_AFTER_SECONDS:
                worker.backoff.reset()
            worker.due_at = time.monotonic() + worker.backoff.take()
            _log.error("a worker ended", extra={"worker": worker.index, "code": code})

    def _stop(self) -> None:
        if self._stops_at is None:
            self._stops_at = time.monotonic() + _GRACE_SECONDS
            self._signal(signal.SIGTERM)

    def _signal(self, number: signal.Signals) -> None:
        for worker in self._workers:
            if worker.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(worker.pid, number)


@contextmanager
def _woken() -> Iterator[int]:
    """A file in which the numbers of signals stand that came. Nothing else is done in a handler."""
    wake, told = os.pipe()
    os.set_blocking(wake, False)
    os.set_blocking(told, False)
    signal.set_wakeup_fd(told, warn_on_full_buffer=False)
    for number in _SIGNALS:
        signal.signal(number, lambda *_: None)
    try:
        yield wake
    finally:
        signal.set_wakeup_fd(-1)
