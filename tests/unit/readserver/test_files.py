"""Last-good files: what is read back, what is refused, and what replaces what."""

import fcntl
import hashlib
import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from core.snapshot.codec import FORMAT
from readserver.stores import files
from readserver.stores.files import DamagedError, FileStore, Kept
from tests.support.snapshots import ENVIRONMENT_ID, snapshot


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "last-good"


@pytest.fixture
def store(folder: Path) -> FileStore:
    made = FileStore(folder)
    made.prepare()
    return made


def only_file(folder: Path) -> Path:
    (path,) = folder.glob("*.snapshot")
    return path


def test_what_is_written_comes_back(store: FileStore, folder: Path) -> None:
    assert store.read(ENVIRONMENT_ID) is None
    assert store.write(Kept(snapshot(3), 1_000.0))
    assert store.read(ENVIRONMENT_ID) == Kept(snapshot(3), 1_000.0)
    assert store.ids() == {ENVIRONMENT_ID}
    assert stat.S_IMODE(only_file(folder).stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    store.confirm(ENVIRONMENT_ID, 2_000.0)
    assert store.read(ENVIRONMENT_ID) == Kept(snapshot(3), 2_000.0)
    store.remove(ENVIRONMENT_ID)
    store.remove(ENVIRONMENT_ID)
    store.confirm(ENVIRONMENT_ID, 2_000.0)
    assert store.read(ENVIRONMENT_ID) is None
    assert {path.name for path in folder.iterdir()} == {".lock"}


def test_the_secret_of_streams_comes_back(store: FileStore) -> None:
    """Addresses that were announced before a restart are good after it, with Postgres away."""
    held = snapshot(3)
    store.write(Kept(replace(held, auth=replace(held.auth, stream_secret=b"needle")), 1_000.0))
    kept = store.read(ENVIRONMENT_ID)
    assert kept is not None
    assert kept.snapshot.auth.stream_secret == b"needle"


OTHER = replace(snapshot(2), epoch="7000.2.1")


@pytest.mark.parametrize(
    ("offered", "goes_back", "wins"),
    [
        (Kept(snapshot(4), 0.0), False, True),
        (Kept(snapshot(3), 2_000.0), False, False),
        (Kept(snapshot(2), 2_000.0), False, False),
        (Kept(snapshot(2), 2_000.0), True, True),
        (Kept(snapshot(2), 500.0), True, False),
        (Kept(replace(snapshot(3), stamp="another"), 2_000.0), True, True),
        (Kept(OTHER, 2_000.0), False, True),
        (Kept(OTHER, 500.0), False, False),
    ],
)
def test_only_something_newer_replaces(
    store: FileStore, offered: Kept, goes_back: bool, wins: bool
) -> None:
    """Of two histories, the one that Postgres confirmed last."""
    first = Kept(snapshot(3), 1_000.0)
    store.write(first)
    assert store.write(offered, goes_back=goes_back) is wins
    assert store.read(ENVIRONMENT_ID) == (offered if wins else first)


THIS_FORMAT = b'{"format":%d,' % FORMAT


def rewritten(path: Path, old: bytes, new: bytes) -> None:
    """Other bytes, with a digest that fits."""
    data = path.read_bytes().partition(b"\n")[2]
    assert old in data
    data = data.replace(old, new)
    path.write_bytes(hashlib.sha256(data).hexdigest().encode() + b"\n" + data)


def linked(path: Path) -> None:
    target = path.with_name("target")
    path.rename(target)
    path.symlink_to(target)


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


DAMAGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "changed": (
        lambda p: p.write_bytes(p.read_bytes().replace(b"dark_mode", b"dark_mood")),
        "damaged",
    ),
    "cut": (lambda p: p.write_bytes(p.read_bytes()[:-10]), "damaged"),
    "empty": (lambda p: p.write_bytes(b""), "damaged"),
    "noise": (lambda p: p.write_bytes(os.urandom(1_000)), "damaged"),
    "newer format": (lambda p: rewritten(p, THIS_FORMAT, b'{"format":99,'), "its format is"),
    "no snapshot": (lambda p: rewritten(p, b'"flags"', b'"flogs"'), "not a whole snapshot"),
    "another's": (lambda p: rewritten(p, ENVIRONMENT_ID.encode(), b"f" * 16), "of another"),
    "readable": (lambda p: p.chmod(0o640), "others may read"),
    "a link": (linked, "it is a link"),
    "a pipe": (piped, "it is not a file"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not_good_is_refused_and_replaced(
    store: FileStore, folder: Path, damage: str
) -> None:
    store.write(Kept(snapshot(3), 1_000.0))
    act, said = DAMAGES[damage]
    act(only_file(folder))
    with pytest.raises(DamagedError, match=said):
        store.read(ENVIRONMENT_ID)
    assert store.write(Kept(snapshot(3), 1_000.0))
    assert store.read(ENVIRONMENT_ID) == Kept(snapshot(3), 1_000.0)


def test_what_is_too_large_is_not_read(store: FileStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write(Kept(snapshot(3), 1_000.0))
    monkeypatch.setattr(files, "_MOST_BYTES", 10)
    with pytest.raises(DamagedError, match="too large"):
        store.read(ENVIRONMENT_ID)


@pytest.mark.parametrize("mode", [0o770, 0o702])
def test_a_folder_of_others_is_refused(store: FileStore, folder: Path, mode: int) -> None:
    store.write(Kept(snapshot(3), 1_000.0))
    folder.chmod(mode)
    with pytest.raises(DamagedError, match="alone to write"):
        store.read(ENVIRONMENT_ID)


def test_somebody_elses_folder_and_file_are_refused(
    store: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(Kept(snapshot(3), 1_000.0))
    monkeypatch.setattr(os, "geteuid", lambda: 4_242)
    with pytest.raises(DamagedError, match="alone to write"):
        store.read(ENVIRONMENT_ID)
    monkeypatch.setattr(store, "prepare", lambda: None)
    with pytest.raises(DamagedError, match="this user's"):
        store.read(ENVIRONMENT_ID)


def test_who_keeps_the_lock_is_not_waited_for(
    store: FileStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_LOCK_SECONDS", 0.01)
    with (folder / ".lock").open("wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError):
            store.write(Kept(snapshot(3), 1_000.0))
    assert store.write(Kept(snapshot(3), 1_000.0))


def test_a_write_that_fails_leaves_what_was_there(
    store: FileStore, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write(Kept(snapshot(3), 1_000.0))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        store.write(Kept(snapshot(4), 2_000.0))
    assert store.read(ENVIRONMENT_ID) == Kept(snapshot(3), 1_000.0)
    assert not list(folder.glob("*.new"))


def test_a_clock_that_was_set_back(store: FileStore) -> None:
    """What was written before is of the future now; between two histories it counts no more."""
    ahead = Kept(snapshot(3), time.time() + 3_600)
    assert store.write(ahead)
    assert not store.write(Kept(snapshot(2), time.time())), "the same history goes by its numbers"
    restored = Kept(replace(snapshot(2), epoch="7000.2.1"), 1_000.0)
    assert store.write(restored)
    assert store.read(ENVIRONMENT_ID) == restored
    assert store.write(ahead)
    assert store.write(Kept(snapshot(2), 1_000.0), goes_back=True)


def write_and_die(store: FileStore, kept: Kept, step: int) -> bool:
    """In a process of its own, killed at its call to the system of this number; whether it was."""
    pid = os.fork()
    if pid:
        return os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    seen = 0

    def watch(_frame: FrameType, event: str, function: Any) -> None:
        nonlocal seen
        of = getattr(function, "__self__", None)
        if event == "c_call" and (
            getattr(of, "__name__", "") in ("posix", "fcntl") or "_io." in repr(of)
        ):
            seen += 1
            if seen == step:
                os.kill(os.getpid(), signal.SIGKILL)

    try:
        sys.setprofile(watch)
        store.write(kept)
        sys.setprofile(None)
    finally:
        os._exit(0)


def test_killed_at_any_step_the_old_or_the_new_is_there_whole(
    store: FileStore, folder: Path
) -> None:
    steps = 0
    for revision in range(2, 200):
        store.write(Kept(snapshot(revision - 1), 1_000.0))
        newer = Kept(snapshot(revision), 1_000.0)
        was_killed = write_and_die(store, newer, revision - 1)
        found = FileStore(folder).read(ENVIRONMENT_ID)
        assert found is not None
        assert found.snapshot in (snapshot(revision - 1), snapshot(revision))
        assert stat.S_IMODE(only_file(folder).stat().st_mode) == 0o600
        if not was_killed:
            break
        steps += 1
    assert 10 <= steps < 150
    assert {path.name for path in folder.iterdir()} == {".lock", only_file(folder).name}
