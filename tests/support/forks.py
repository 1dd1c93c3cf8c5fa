"""Programs that begin where their imports end, forked from a process that has done them.

A suite starts well over a hundred read servers; each is a process of its own all the same, with the
environment, folder and log that it is given, and runs the program's own `main`. What is decided
before (`python -m`, -W, PYTHONIOENCODING) is for tests that start the program as it is typed.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import reduction
from pathlib import Path
from typing import Any, Protocol


class Process(Protocol):
    """What the tests ask of a server's process: a part of subprocess.Popen."""

    pid: int

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int, /) -> None: ...
    def kill(self) -> None: ...


class Fork:
    """`python -m readserver`, or flagctl with `arguments`, in all but its start."""

    def __init__(
        self,
        folder: Path,
        environ: Mapping[str, str],
        log: Path,
        arguments: Sequence[str] | None = None,
        *,
        out: Path | None = None,
        terminal: int | None = None,
    ) -> None:
        """What it says goes into `log`, what flagctl prints into `out` if it is given. A `terminal`
        is its stdin and stderr instead."""
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(
            ["readserver.__main__", "flagctl.main", "core.alchemy", "core.models", __name__]
        )
        files = (str(log), str(out or log), None if terminal is None else _Inherited(terminal))
        given = (str(folder), dict(environ), files, arguments)
        self._process = context.Process(target=_run, args=given, daemon=True)
        self._process.start()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        code = self._process.exitcode
        if code is None:
            raise subprocess.TimeoutExpired("a fork", timeout or 0)
        return code

    def send_signal(self, sig: int, /) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def outcome(
    folder: Path, environ: Mapping[str, str], arguments: Sequence[str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Of one that ends by itself: its exit code, and what it printed and said."""
    with tempfile.TemporaryDirectory() as kept:
        out, log = Path(kept, "out"), Path(kept, "log")
        process = Fork(folder, environ, log, arguments, out=out)
        try:
            code = process.wait(60)
        finally:
            process.kill()
        return subprocess.CompletedProcess(
            list(arguments or ()), code, out.read_text(), log.read_text()
        )


class _Inherited:
    """An open file that goes to the new process, where it is a number again."""

    def __init__(self, number: int) -> None:
        self._number = number

    def __reduce__(self) -> tuple[Callable[[Any], int], tuple[Any]]:
        return _detached, (reduction.DupFd(self._number),)


def _detached(sent: Any) -> int:
    return int(sent.detach())


def _run(
    folder: str,
    environ: dict[str, str],
    files: tuple[str, str, int | None],
    arguments: Sequence[str] | None,
) -> None:
    from flagctl.main import run  # where both were imported already
    from readserver.__main__ import main

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    log, out, terminal = files
    if terminal is None:
        with Path(log).open("ab") as file:
            os.dup2(file.fileno(), 2)
    else:
        os.dup2(terminal, 0)
        os.dup2(terminal, 2)
        os.close(terminal)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 - multiprocessing took it away
    if arguments is not None or out != log:
        with Path(out).open("ab") as file:
            os.dup2(file.fileno(), 1)
    if arguments is None:
        sys.exit(main())
    sys.argv = ["flagctl", *arguments]
    run()
