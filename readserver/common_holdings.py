"""What one worker of a host holds, the others hold too.

A connection is with whichever worker took it. When the stores are away, no client may be worse off
than with the worker beside: so each brings what another was asked for, and one that takes the place
of a dead one leaves the connections to the others until it holds what they hold.
"""

import asyncio
import logging
import time
from typing import Final

from core.snapshot.document import Snapshot
from readserver.backoff import Backoff
from readserver.held import Held
from readserver.host import Peers
from readserver.host_messages import Holding
from readserver.provider import Provider
from readserver.tasks import stop
from readserver.truth import Truth

_LOOK_SECONDS: Final = 0.1  # whether others are still there
# For what another holds, while Postgres answers: what is left is then loaded when it is asked for.
_PATIENCE_SECONDS: Final = 10.0
_log = logging.getLogger(__name__)


class CommonHoldings:
    """A watcher of what is held; `run` is its task. Lives on one event loop."""

    def __init__(
        self, held: Held, provider: Provider, truth: Truth, peers: Peers, *, most: int
    ) -> None:
        """`most`: so many environments are held; none is let go for what nobody asked for here."""
        self._held = held
        self._provider = provider
        self._truth = truth
        self._peers = peers
        self._most = most
        self._own: set[str] = set()
        self._is_open = False
        self._heard = asyncio.Event()

    def hear(self) -> None:
        """Another worker holds something new."""
        self._heard.set()

    async def run(self) -> None:
        while True:
            await self._heard.wait()
            self._heard.clear()
            await self._bring()

    async def opened(self) -> None:
        """Wait until requests may come here. Without others, who answer meanwhile, that is now."""
        bringing = asyncio.create_task(self._bring())
        try:
            while not bringing.done() and self._peers.held_by_others():
                await asyncio.wait([bringing], timeout=_LOOK_SECONDS)
        finally:
            await stop([bringing])
        self._is_open = True
        self._own = {snapshot.environment_id for snapshot in self._held}
        self._peers.hold(self._own)

    async def _bring(self) -> None:
        """All that others hold, one after the other. While Postgres is away, until it is there."""
        backoff = Backoff()
        while True:
            is_left, ends_at = False, time.monotonic() + _PATIENCE_SECONDS
            for environment_id in self._missing():
                is_left |= not await self._has_brought(environment_id)
                if not self._truth.is_stale and time.monotonic() > ends_at:
                    return
            if not is_left:
                return
            if backoff.is_first:
                _log.warning("what other workers hold cannot be loaded: Postgres is away")
            await backoff.wait()

    def _missing(self) -> list[str]:
        others = self._peers.held_by_others()
        missing = [id_ for id_ in others if self._held.version(id_) is None]
        return missing[: max(0, self._most - len(self._held))]

    async def _has_brought(self, environment_id: str) -> bool:
        """Whether there is nothing left to try. A fault shows itself to whoever asks for it."""
        finding = self._provider.find(environment_id)
        (found,) = await asyncio.gather(finding, return_exceptions=True)
        return not (isinstance(found, BaseException) and self._truth.is_stale)

    def kept(self, snapshot: Snapshot, *, goes_back: bool) -> None:  # noqa: ARG002 - either way
        if self._is_open and snapshot.environment_id not in self._own:
            self._own.add(snapshot.environment_id)
            self._peers.hold(self._own)
            self._peers.tell(Holding())

    def dropped(self, environment_id: str, *, is_deleted: bool) -> None:  # noqa: ARG002 - either way
        if environment_id in self._own:
            self._own.discard(environment_id)
            self._peers.hold(self._own)
