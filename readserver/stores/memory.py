"""The snapshots of this process. Used on the event loop only, so it needs no lock."""

from collections.abc import Iterator

from core.snapshot.document import Snapshot, Version


class MemoryStore:
    """Holds the last snapshot of each environment; put if newer."""

    def __init__(self) -> None:
        self._snapshots: dict[str, Snapshot] = {}

    def __iter__(self) -> Iterator[Snapshot]:
        return iter(list(self._snapshots.values()))

    def __len__(self) -> int:
        return len(self._snapshots)

    def version(self, environment_id: str) -> Version | None:
        """The version held of an environment."""
        held = self._snapshots.get(environment_id)
        return held.version if held is not None else None

    async def get(self, environment_id: str, at_least: Version | None = None) -> Snapshot | None:
        held = self._snapshots.get(environment_id)
        if held is None or (at_least is not None and not held.version.is_at_least(at_least)):
            return None
        return held

    async def put(self, snapshot: Snapshot, *, replace: bool = False) -> bool:
        return self.keep(snapshot, replace=replace)

    def keep(self, snapshot: Snapshot, *, replace: bool = False) -> bool:
        """`put`, for a caller that must not be interrupted between this and its next step."""
        held = self._snapshots.get(snapshot.environment_id)
        if held is not None and not replace and not snapshot.version.is_newer_than(held.version):
            return False
        self._snapshots[snapshot.environment_id] = snapshot
        return True

    def drop(self, environment_id: str) -> bool:
        """Forget an environment that was deleted; whether it was held."""
        return self._snapshots.pop(environment_id, None) is not None
