"""Which answers have to say that they may be old.

All, while Postgres cannot be reached. Else those of an environment of which Postgres has said that
there is something newer, when that is not here soon: a load that hangs or fails is nothing that
whoever reads the old answers could know of.
"""

import asyncio
from typing import Final

from core.snapshot.document import Snapshot
from readserver.answers import Header
from readserver.held import Held
from readserver.truth import Truth

PATIENCE_SECONDS: Final = 1.0  # since a check found something newer


class Freshness:
    """Lives on one event loop."""

    def __init__(self, truth: Truth, held: Held, *, patience: float = PATIENCE_SECONDS) -> None:
        self._truth = truth
        self._held = held
        held.watchers.append(self)
        self._patience = patience
        self._expected: dict[str, asyncio.TimerHandle] = {}
        self._late: set[str] = set()

    def is_stale(self, environment_id: str) -> bool:
        return self._truth.is_stale or environment_id in self._late

    def headers(self, environment_id: str) -> tuple[Header, ...]:
        """What an answer out of this environment says of it: nothing, if it is not stale."""
        if not self.is_stale(environment_id):
            return ()
        seconds = self._truth.age_seconds if self._truth.is_stale else 0.0
        if environment_id in self._late:
            seconds = max(seconds, self._held.age_seconds(environment_id))
        return ((b"age", str(int(seconds)).encode()), (b"flagctl-stale", b"true"))

    def expect(self, environment_id: str) -> None:
        """Postgres has another version than is held."""
        if environment_id not in self._expected and environment_id not in self._late:
            timer = asyncio.get_running_loop().call_later(
                self._patience, self._give_up, environment_id
            )
            self._expected[environment_id] = timer

    def _give_up(self, environment_id: str) -> None:
        del self._expected[environment_id]
        self._late.add(environment_id)
        self._held.on_change()

    def confirm(self, environment_id: str) -> None:
        """What is held is what Postgres has."""
        if timer := self._expected.pop(environment_id, None):
            timer.cancel()
        if environment_id in self._late:
            self._late.remove(environment_id)
            self._held.on_change()

    def kept(self, snapshot: Snapshot, *, goes_back: bool) -> None:  # noqa: ARG002 - either way
        known = self._truth.version(snapshot.environment_id)
        if known is None or not known.is_newer_than(snapshot.version):  # else more is to come
            self.confirm(snapshot.environment_id)

    def dropped(self, environment_id: str, *, is_deleted: bool) -> None:  # noqa: ARG002 - either way
        self.confirm(environment_id)

    def close(self) -> None:
        for timer in self._expected.values():
            timer.cancel()
        self._expected.clear()
