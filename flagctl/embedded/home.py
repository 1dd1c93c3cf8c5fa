"""Where an engine lives: its data folder, the files beside it, and a short-lived runtime directory.

Beside the folder `X` lie `X.log` and `X.lock`. Whoever holds the lock is the only one to start an
engine there; the file remembers what must be tidied up if its holder is killed. The runtime
directory holds the sockets: a socket's path is limited to about a hundred bytes, and a project may
lie deep.
"""

import fcntl
import json
import os
import re
import shutil
import tempfile
from pathlib import Path
from typing import BinaryIO

from core.errors import UnavailableError
from flagctl.embedded.unprivileged import Account, account_for, give

_PREFIX = "flagctl-"
# Short enough for a socket below it, and without what addresses and lists of folders need quoted.
_GOOD_BASE = re.compile(r"[A-Za-z0-9._/+-]{1,60}")
_FALLBACK_BASE = Path("/tmp")  # noqa: S108 a random name is made in it, safely
_QUOTED_LINES = 15


class Home:
    """One engine's places. `claim`, then `open_runtime`; `close` in the end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.log = self._beside(".log")
        self.account: Account | None = None
        self._lock: int | None = None
        self._runtime: Path | None = None
        self._log_start = 0

    @property
    def runtime(self) -> Path:
        """The same for the whole life of this object; it exists from start to stop."""
        if self._runtime is None:
            raise RuntimeError("it was not started yet")
        return self._runtime

    def claim(self) -> None:
        """Become the one who may start an engine here."""
        self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.account = account_for(self.folder)
        if self._lock is None:
            self._lock = _lock(self._beside(".lock"))

    def last_pid(self) -> int | None:
        """The engine that the last holder recorded, if that holder did not stop it."""
        pid = self._remembered().get("pid")
        return pid if isinstance(pid, int) and pid > 0 else None

    def open_runtime(self) -> None:
        """Make the runtime directory, and remove the one that a killed holder left."""
        left = self._remembered().get("runtime")
        if isinstance(left, str) and Path(left) != self._runtime:
            self._remove(Path(left))
        if self._runtime is None:
            self._runtime = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._base()))
            give(self._runtime, self.account)
        elif not self._runtime.exists():
            self._runtime.mkdir(mode=0o700)
            give(self._runtime, self.account)
        self.remember(None)

    def remember(self, pid: int | None) -> None:
        """Write down what the next holder would have to tidy up."""
        self._write(json.dumps({"runtime": str(self.runtime), "pid": pid}).encode())

    def close(self) -> None:
        """Remove the runtime directory and let others in.

        The lock file stays: without it two could get in, each with a file of its own.
        """
        if self._lock is None:
            return
        if self._runtime is not None:
            shutil.rmtree(self._runtime, ignore_errors=True)
        self._write(b"")
        fcntl.flock(self._lock, fcntl.LOCK_UN)  # closing is not enough if a fork has it too
        os.close(self._lock)
        self._lock = None

    def open_log(self) -> BinaryIO:
        """The log, to be appended to."""
        log = os.open(self.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        self._log_start = os.fstat(log).st_size
        return os.fdopen(log, "ab")

    def log_tail(self) -> str:
        """The last lines that were written since the log was opened."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_QUOTED_LINES:]) or "(nothing was logged)"

    def _beside(self, suffix: str) -> Path:
        return self.folder.with_name(self.folder.name + suffix)

    def _base(self) -> Path:
        """The folder for temporary files, or /tmp where it does not serve."""
        base = Path(tempfile.gettempdir())
        good = _GOOD_BASE.fullmatch(str(base)) is not None
        if good and self.account:
            good = all(folder.stat().st_mode & 0o001 for folder in (base, *base.parents))
        return base if good else _FALLBACK_BASE

    def _remove(self, runtime: Path) -> None:
        if runtime.name.startswith(_PREFIX) and runtime.parent in {self._base(), _FALLBACK_BASE}:
            shutil.rmtree(runtime, ignore_errors=True)

    def _remembered(self) -> dict[str, object]:
        if self._lock is None:
            return {}
        try:
            found = json.loads(os.pread(self._lock, 10_000, 0))
        except ValueError:
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, content: bytes) -> None:
        if self._lock is not None:
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, content, 0)


def _lock(path: Path) -> int:
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise UnavailableError(
            f"{path.with_suffix('')} is in use by another flagctl.",
            hint="Stop the other `flagctl dev` of this directory first.",
        ) from None
    return lock
