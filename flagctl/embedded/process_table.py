"""What the operating system says about processes that are not our children."""

import os
import signal
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import ModuleType


def is_running(pid: int, *, program: str, folder: Path) -> bool:
    """Whether it is `program` at work in `folder`; a number proves nothing, it may be reused."""
    psutil = _psutil()
    try:
        process = psutil.Process(pid)
        place: str = process.cwd()  # empty for one that has just ended
        return bool(place and process.name() == program and Path(place).samefile(folder))
    except (psutil.Error, OSError):
        return False


def is_alive(pid: int) -> bool:
    """Whether it still runs; one that ended but was not collected does not."""
    psutil = _psutil()
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def pid_exists(pid: int) -> bool:
    """Whether anything has this number, also one that ended but was not collected."""
    return bool(_psutil().pid_exists(pid))


def descendants(pid: int) -> list[int]:
    """Its children and theirs. Process groups would not do: a backend of Postgres has its own."""
    psutil = _psutil()
    try:
        return [child.pid for child in psutil.Process(pid).children(recursive=True)]
    except psutil.Error:
        return []


def freeze(pid: int) -> list[int]:
    """Suspend a process, so that it starts no more, then all its descendants; returns them all."""
    frozen: list[int] = []
    found = [pid]
    while found:
        send(found, signal.SIGSTOP)
        frozen += found
        found = [other for other in descendants(pid) if other not in frozen]
    return frozen


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Send a signal to each that still exists."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _psutil() -> ModuleType:
    # Deferred: it comes with the embedded wheels, whose absence has an error message of its own.
    import psutil  # type: ignore[import-untyped,unused-ignore]

    module: ModuleType = psutil
    return module
