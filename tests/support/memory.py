"""A folder in memory for the data of the tests' servers: a database is made there in a tenth of
the time that an ordinary file system needs for its hundreds of files. And what Python holds."""

import os
import shutil
import tempfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_MEMORY: Final = Path("/dev/shm")
_NAME: Final = "flagctl-tests"
_LEAST_FREE: Final = 2 * 1024**3  # bytes


@contextmanager
def folder_in_memory(otherwise: Path) -> Iterator[Path]:
    """The folder, removed at the end; `otherwise` where there is no room for one."""
    if not _has_room():
        yield otherwise
        return
    _remove_those_of_the_dead()
    folder = Path(tempfile.mkdtemp(prefix=f"{_NAME}-{os.getpid()}-", dir=_MEMORY))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _has_room() -> bool:
    try:
        return os.access(_MEMORY, os.W_OK) and shutil.disk_usage(_MEMORY).free >= _LEAST_FREE
    except OSError:
        return False


def _remove_those_of_the_dead() -> None:
    """A run that was killed could not tidy up, and memory is dear."""
    for folder in _MEMORY.glob(f"{_NAME}-*-*"):
        with suppress(OSError, ValueError):
            owner = int(folder.name.removeprefix(f"{_NAME}-").partition("-")[0])
            if not Path(f"/proc/{owner}").exists():
                shutil.rmtree(folder, ignore_errors=True)


def kept_by(act: Callable[[], object]) -> int:
    """Bytes that Python still holds after it, and did not before."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        act()
        return tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
