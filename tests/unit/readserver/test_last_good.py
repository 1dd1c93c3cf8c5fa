"""Keeping last-good files on a disk that hangs: nobody waits for it."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from readserver import last_good
from readserver.last_good import LastGood
from readserver.stores.files import FileStore, Kept
from readserver.telemetry import Counts
from readserver.truth import Truth
from tests.support.snapshots import ENVIRONMENT_ID, snapshot


class HungStore(FileStore):
    """Every call takes until the disk is back."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.is_back = threading.Event()

    def prepare(self) -> None:
        self.is_back.wait(20)
        super().prepare()

    def write(self, kept: Kept, *, goes_back: bool = False) -> bool:
        self.is_back.wait(20)
        return super().write(kept, goes_back=goes_back)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[HungStore]:
    made = HungStore(tmp_path / "last-good")
    yield made
    made.is_back.set()


def test_neither_the_start_nor_the_end_waits_for_it(
    store: HungStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_good, "_PATIENCE_SECONDS", 0.02)

    async def live() -> None:
        kept = LastGood(store, Truth(), Counts())
        await kept.start()
        assert not kept.has_any
        running = asyncio.create_task(kept.run())
        kept.kept(snapshot(3), goes_back=False)
        await end(kept, running)

    asyncio.run(asyncio.wait_for(live(), 5))


def test_what_came_meanwhile_is_written_when_it_is_back(store: HungStore) -> None:
    async def live() -> None:
        kept = LastGood(store, Truth(), Counts())
        kept.kept(snapshot(3), goes_back=False)
        running = asyncio.create_task(kept.run())
        await asyncio.sleep(0)
        kept.kept(snapshot(4), goes_back=False)
        store.is_back.set()
        store.prepare()
        await end(kept, running)

    asyncio.run(asyncio.wait_for(live(), 5))
    found = store.read(ENVIRONMENT_ID)
    assert found is not None
    assert found.snapshot == snapshot(4)


async def end(kept: LastGood, running: "asyncio.Task[None]") -> None:
    await kept.close()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
