"""Keeps the last good snapshots in files, off the event loop, and brings them back after a start
while Postgres cannot be reached. Nothing waits for it, and no fault of the disk reaches a request.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from core.snapshot.document import Snapshot, Version
from readserver.stores.files import DamagedError, FileStore, Kept
from readserver.telemetry import Counts
from readserver.truth import Truth

_PAUSE_SECONDS: Final = 1.0  # between two rounds of writing: many changes are one write
_SWEEP_SECONDS: Final = 10.0  # how exact the age of a file is
_PATIENCE_SECONDS: Final = 2.0  # at the start and at the end
_log = logging.getLogger(__name__)
T = TypeVar("T")


class LastGood:
    """A watcher of what is held; `run` is its task."""

    def __init__(self, files: FileStore, truth: Truth, counts: Counts) -> None:
        self._files = files
        self._truth = truth
        self._counts = counts
        self._there: set[str] = set()  # of which there is a file, good or not
        self._pending: dict[str, tuple[Kept, bool]] = {}
        self._dropped: set[str] = set()
        self._written: dict[str, Version] = {}
        self._wanted = asyncio.Event()
        self._is_failing = False
        # A thread of its own: a disk that hangs holds up nothing else.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="flagctl-files")

    async def start(self) -> None:
        """Look what is there; a disk that hangs is not waited for."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                self._there = await self._do(self._look) or set()
        except TimeoutError:
            _log.warning("the folder of last-good files does not answer")

    def _look(self) -> set[str]:
        self._files.prepare()
        return self._files.ids()

    @property
    def has_any(self) -> bool:
        return bool(self._there)

    async def recall(self, environment_id: str) -> Kept | None:
        """The file's snapshot; None for none, and for one that is not good."""
        if environment_id not in self._there:
            return None
        try:
            kept = await asyncio.to_thread(self._files.read, environment_id)
        except (DamagedError, OSError) as error:
            self._counts.last_good_refused += 1
            _log.warning(
                "a last-good file was refused",
                extra={"environment_id": environment_id, "reason": str(error)},
            )
            kept = None
        if kept is None:
            self._there.discard(environment_id)
        else:
            self._written[environment_id] = kept.snapshot.version
        return kept

    def kept(self, snapshot: Snapshot, *, goes_back: bool) -> None:
        self._dropped.discard(snapshot.environment_id)
        self._pending[snapshot.environment_id] = Kept(snapshot, time.time()), goes_back
        self._wanted.set()

    def dropped(self, environment_id: str, *, is_deleted: bool) -> None:
        if not is_deleted:
            return  # the file is good for a start all the same
        self._pending.pop(environment_id, None)
        self._dropped.add(environment_id)
        self._wanted.set()

    async def run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_SWEEP_SECONDS):
                    await self._wanted.wait()
            except TimeoutError:
                await self._confirm()
            self._wanted.clear()
            await self._write()
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _confirm(self) -> None:
        """The files are as old as Postgres's last word on them, not as their bytes."""
        if self._truth.is_stale:
            return
        await self._tidy()
        same = [id_ for id_, v in self._written.items() if self._truth.version(id_) == v]
        confirmed_at = time.time() - self._truth.age_seconds

        def confirm() -> None:
            for id_ in same:
                self._files.confirm(id_, confirmed_at)

        await self._do(confirm)

    async def _tidy(self) -> None:
        """What was deleted while this process was not there."""
        gone = {id_ for id_ in self._there if not self._truth.has(id_)}
        self._there -= gone

        def remove() -> None:
            for id_ in gone:
                with contextlib.suppress(DamagedError):
                    kept = self._files.read(id_)
                    # Of another Postgres it may well be another installation's.
                    if kept is not None and kept.snapshot.epoch == self._truth.epoch:
                        self._files.remove(id_)

        if gone:
            await self._do(remove)

    async def _write(self) -> None:
        for id_ in tuple(self._dropped):
            self._there.discard(id_)
            if await self._do(partial(self._remove, id_)):
                self._dropped.discard(id_)
                self._written.pop(id_, None)
        for id_, (kept, goes_back) in tuple(self._pending.items()):
            done = await self._do(partial(self._files.write, kept, goes_back=goes_back))
            if done is None:
                return  # tried again with the next round; what serves is not the disk's concern
            self._counts.last_good_writes += done
            self._there.add(id_)
            self._written[id_] = kept.snapshot.version
            if self._pending.get(id_, (None,))[0] is kept:
                del self._pending[id_]

    def _remove(self, environment_id: str) -> bool:
        self._files.remove(environment_id)
        return True

    async def _do(self, work: Callable[[], T]) -> T | None:
        """In the thread; None when the disk, or whose folder it is, does not allow it."""
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (OSError, DamagedError) as error:
            self._counts.last_good_failures += 1
            if not self._is_failing:
                reason = error.strerror if isinstance(error, OSError) else str(error)
                _log.warning("last-good files cannot be written", extra={"reason": reason})
            self._is_failing = True
            return None
        if self._is_failing:
            _log.info("last-good files can be written again")
        self._is_failing = False
        return found

    async def close(self) -> None:
        """What is not written yet is, if the disk is quick."""
        try:
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self._write()
        except TimeoutError:
            _log.warning("last-good files were not written in time")
        self._thread.shutdown(wait=False, cancel_futures=True)
