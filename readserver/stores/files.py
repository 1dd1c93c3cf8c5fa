"""The last good snapshots in files, for a start while no store can be reached. Used in threads.

Postgres's secret is not there when they are needed, so no seal protects them: a digest tells
damage, and the rights of file and folder tell whose they are. What does not fit is not used.
"""

import contextlib
import errno
import fcntl
import hashlib
import os
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from core.snapshot import codec
from core.snapshot.document import Snapshot

_MOST_BYTES: Final = 256 * 1_024 * 1_024
_LOCK_SECONDS: Final = 1.0
_SUFFIX: Final = f".{codec.FORMAT}.snapshot"  # two releases never overwrite each other's
_ASIDE: Final = ".new"  # ends the name of a file that is not whole yet


class DamagedError(ValueError):
    """This file is not used. The message says why."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A snapshot, and when Postgres last confirmed it: seconds since 1970."""

    snapshot: Snapshot
    confirmed_at: float


class FileStore:
    """A file for each environment in a folder of our own. Every method may raise OSError."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self) -> None:
        """Make the folder, or check it. Raises DamagedError for one that others may write to."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state = self._folder.stat()
        if state.st_uid != os.geteuid() or state.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise DamagedError("the folder is not this user's alone to write")

    def ids(self) -> set[str]:
        """The environments there is a file of, good or not."""
        names = [path.name for path in self._folder.iterdir()]
        return {name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)}

    def read(self, environment_id: str) -> Kept | None:
        """None where there is none. Raises DamagedError."""
        self.prepare()
        try:
            return self._read(environment_id)
        except FileNotFoundError:
            return None

    def _read(self, environment_id: str) -> Kept:
        kept = _read(self._path(environment_id))
        if kept.snapshot.environment_id != environment_id:
            raise DamagedError("it is of another environment")
        return kept

    def write(self, kept: Kept, *, goes_back: bool = False) -> bool:
        """Replace the file unless it is as new; whether it was replaced.

        `goes_back`: Postgres itself did. Then, and between two epochs, of which nobody can tell the
        later, the one counts that Postgres confirmed last. One of the future was confirmed by a
        clock that was wrong.
        """
        environment_id = kept.snapshot.environment_id
        with self._lock():
            self._remove_unfinished()
            there = None
            with contextlib.suppress(FileNotFoundError, DamagedError):
                there = self._read(environment_id)
            if not _is_newer(kept, there, goes_back=goes_back):
                return False
            _replace(self._path(environment_id), _encode(kept.snapshot), kept.confirmed_at)
        return True

    def confirm(self, environment_id: str, confirmed_at: float) -> None:
        """Postgres says that it is still so."""
        with contextlib.suppress(FileNotFoundError):
            os.utime(self._path(environment_id), (confirmed_at, confirmed_at))

    def remove(self, environment_id: str) -> None:
        self._path(environment_id).unlink(missing_ok=True)

    def _path(self, environment_id: str) -> Path:
        return self._folder / f"{environment_id}{_SUFFIX}"

    def _remove_unfinished(self) -> None:
        """What was left by whoever was killed: nobody else writes now."""
        for path in self._folder.glob(f"*{_ASIDE}"):
            path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        """Among the processes of a host; whoever has it does not have it for long."""
        descriptor = os.open(self._folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            until = time.monotonic() + _LOCK_SECONDS
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise
                    time.sleep(0.01)
            yield
        finally:
            os.close(descriptor)


def _is_newer(kept: Kept, there: Kept | None, *, goes_back: bool) -> bool:
    if there is None:
        return True
    own, other = kept.snapshot.version, there.snapshot.version
    if own.epoch == other.epoch and not goes_back:
        return own.revision > other.revision
    is_later = not kept.confirmed_at <= there.confirmed_at <= time.time()
    return own != other and is_later


def _replace(path: Path, data: bytes, confirmed_at: float) -> None:
    """Written aside, to the disk, and then put in place at once."""
    aside = path.with_suffix(f".{os.getpid()}{_ASIDE}")
    try:
        descriptor = os.open(
            aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(descriptor)
            os.utime(descriptor, (confirmed_at, confirmed_at))
        aside.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            aside.unlink(missing_ok=True)
        raise


def _read(path: Path) -> Kept:
    """Raises DamagedError, and OSError."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DamagedError("it is a link") from None
        raise
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_uid != os.geteuid():
            raise DamagedError("it is not a file of this user's")
        if state.st_mode & 0o077:
            raise DamagedError("others may read or write it")
        if state.st_size > _MOST_BYTES:
            raise DamagedError("it is too large")
        return Kept(_decode(file.read()), state.st_mtime)


def _encode(snapshot: Snapshot) -> bytes:
    """A line with the digest of the rest, one with the secret of its streams, and the snapshot."""
    rest = snapshot.auth.stream_secret.hex().encode() + b"\n" + codec.encode(snapshot)
    return hashlib.sha256(rest).hexdigest().encode() + b"\n" + rest


def _decode(text: bytes) -> Snapshot:
    digest, _, rest = text.partition(b"\n")
    if digest != hashlib.sha256(rest).hexdigest().encode():
        raise DamagedError("it is damaged")
    secret, _, data = rest.partition(b"\n")
    try:
        snapshot = codec.decode(data)
        stream_secret = bytes.fromhex(secret.decode("ascii"))
    except codec.RefusedError as error:
        raise DamagedError(str(error)) from None
    except ValueError:
        raise DamagedError("it is of another form") from None
    return replace(snapshot, auth=replace(snapshot.auth, stream_secret=stream_secret))
