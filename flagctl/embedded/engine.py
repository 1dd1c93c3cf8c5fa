"""The life of an embedded server: what Postgres and Valkey have in common."""

import os
import signal
from abc import ABC, abstractmethod
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from core.errors import UnavailableError
from flagctl.embedded.home import Home
from flagctl.embedded.process_table import descendants, freeze, is_alive, is_running, send
from flagctl.embedded.processes import Child, spawn, undisturbed
from flagctl.embedded.waiting import until

# Nothing of the caller's: PG* variables or a locale must not change what a server does.
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}

_START_SECONDS = 60.0  # after a crash Postgres first replays its log
_STOP_SECONDS = 10.0


class Engine(ABC):
    """A server with its data in one folder, which dies with this process.

    The addresses stay the same over stop, kill and start. Not for use by two threads at once.
    """

    title: ClassVar[str]
    program: ClassVar[str]
    stop_signals: ClassVar[tuple[signal.Signals, ...]]

    def __init__(self, folder: Path, *, password: str) -> None:
        if not password or not password.isprintable():
            raise ValueError("the password must be printable and not empty")
        self._password = password
        self._home = Home(folder)
        self._child: Child | None = None
        self._suspended = False

    @property
    def pid(self) -> int:
        """The process id while it runs."""
        return self._running().pid

    @property
    def log(self) -> Path:
        """The file it logs to."""
        return self._home.log

    def start(self) -> None:
        """Start it and wait until it answers; one that a killed flagctl left behind is stopped."""
        if self._child and self._child.poll() is None:
            raise RuntimeError(f"the embedded {self.title} runs already")
        try:
            self._home.claim()
            self._stop_orphan()
            self._home.open_runtime()
            self._prepare()
            self._launch()
            self._wait_until_it_answers()
        except OSError as error:
            self.stop()
            raise UnavailableError(f"The embedded {self.title} cannot start: {error}") from error
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop it in order, and remove its sockets. It may not run."""
        if self._child:
            if self._suspended:
                self.resume()
            self._child.stop(_STOP_SECONDS, harder=self.stop_signals[1:])
            self._child = None
        self._suspended = False
        self._home.close()

    def kill(self) -> None:
        """End it as a crash does, with all its processes; `start` or `stop` comes next."""
        child = self._running()
        pids = freeze(child.pid)
        send(pids, signal.SIGKILL)
        child.kill()
        until(lambda: not any(map(is_alive, pids)), timeout=_STOP_SECONDS)
        self._child, self._suspended = None, False

    def suspend(self) -> None:
        """Stop all its processes where they are: connections stay open and nothing answers."""
        freeze(self._running().pid)
        self._suspended = True

    def resume(self) -> None:
        """Let it go on after `suspend`."""
        pid = self._running().pid
        send([*descendants(pid), pid], signal.SIGCONT)
        self._suspended = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    @abstractmethod
    def _command(self) -> list[str]:
        """The program with its arguments; no secret, everybody can read them."""

    @abstractmethod
    def _answers(self) -> bool:
        """Whether a client with the password gets an answer."""

    @abstractmethod
    def _orphan(self) -> int | None:
        """The process id that an earlier one left, if it left any; another may have it now."""

    @abstractmethod
    def _prepare(self) -> None:
        """Whatever must exist before it starts."""

    def _input(self) -> bytes:
        """What it reads from its standard input."""
        return b""

    def _running(self) -> Child:
        if self._child is None:
            raise RuntimeError(f"the embedded {self.title} does not run")
        return self._child

    def _launch(self) -> None:
        with self._home.open_log() as log, undisturbed():
            self._child = spawn(
                self._command(),
                env=ENVIRONMENT,
                cwd=self._home.folder,
                stdin=self._input(),
                stdout=log,
                stderr=log,
                stop_signal=self.stop_signals[0],
                account=self._home.account,
                umask=0o077,
            )
        self._home.remember(self._child.pid)

    def _wait_until_it_answers(self) -> None:
        child = self._running()
        if not until(lambda: child.poll() is not None or self._answers(), timeout=_START_SECONDS):
            raise self._failure("did not answer in time")
        if child.poll() is not None:
            raise self._failure("stopped while starting")

    def _failure(self, what: str) -> UnavailableError:
        return UnavailableError(
            f"The embedded {self.title} {what}. Its log ends with:\n{self._home.log_tail()}",
            hint=f"The whole log is in {self._home.log}.",
        )

    def _stop_orphan(self) -> None:
        pid = self._orphan()
        if pid is None or not self._is_ours(pid):
            return
        for number in self.stop_signals:
            send([pid], number)
            send([*descendants(pid), pid], signal.SIGCONT)  # it may have been suspended
            if until(lambda: not self._is_ours(pid), timeout=_STOP_SECONDS):
                return
        pids = freeze(pid)
        send(pids, signal.SIGKILL)
        if not until(lambda: not any(map(is_alive, pids)), timeout=_STOP_SECONDS):
            raise UnavailableError(
                f"An earlier embedded {self.title} (process {pid}) cannot be stopped."
            )

    def _is_ours(self, pid: int) -> bool:
        return is_running(pid, program=self.program, folder=self._home.folder)
