"""Programs that begin where their imports end, forked from a process that has done them.

A suite starts well over a hundred read servers; each is a process of its own all the same, with the
environment, folder and log that it is given, and runs the program's own `main`.
"""

import multiprocessing
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol


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
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["readserver.__main__", "flagctl.main", __name__])
        given = (str(folder), dict(environ), str(log), arguments)
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


def _run(folder: str, environ: dict[str, str], log: str, arguments: Sequence[str] | None) -> None:
    from flagctl.main import run  # where both were imported already
    from readserver.__main__ import main

    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environ)
    with Path(log).open("ab") as file:
        os.dup2(file.fileno(), 2)
        if arguments is not None:
            os.dup2(file.fileno(), 1)
    if arguments is None:
        sys.exit(main())
    sys.argv = ["flagctl", *arguments]
    run()
