"""Whoever follows what is served: receipts, last-good files, and the provider itself."""

from typing import Protocol

from core.snapshot.document import Snapshot


class Watcher(Protocol):
    """Told by what is held, on the event loop, so it is quick."""

    def kept(self, snapshot: Snapshot, *, goes_back: bool) -> None:
        """It is served from now on. `goes_back`: Postgres itself did."""

    def dropped(self, environment_id: str, *, is_deleted: bool) -> None:
        """It is not in memory any more. `is_deleted`: nor in Postgres, by what it says itself."""
