"""What one worker of a host holds, the others hold too.

A connection is with whichever worker took it. When the stores are away, no client may be worse off
than with the worker beside: so each brings what another was asked for, and one that takes the place
of a dead one leaves the connections to the others until it holds what they hold.
"""

import asyncio
import logging
import time
from collections.abc import Iterator
from contextlib import suppress
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
_AGAIN_SECONDS: Final = 2.0  # until it is looked for what is missing, though nobody said so
_AFTER_FAILURE_SECONDS: Final = 30.0  # while Postgres answers; that it is back is tried at once
_TELL_SECONDS: Final = 0.02  # so many become one message
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
        self._open = asyncio.Event()
        self._telling: asyncio.TimerHandle | None = None
        self._heard = asyncio.Event()
        self._failed_at: dict[str, float] = {}  # while Postgres answered

    def hear(self) -> None:
        """Another worker holds something new."""
        self._heard.set()

    async def run(self) -> None:
        """Looks again now and then, too: whatever was not heard or not loaded comes in the end."""
        await self._open.wait()
        while True:
            self._heard.clear()
            await self._bring()
            with suppress(TimeoutError):
                async with asyncio.timeout(_AGAIN_SECONDS):
                    await self._heard.wait()

    async def opened(self) -> None:
        """Wait until requests may come here. Without others, who answer meanwhile, that is now."""
        bringing = asyncio.create_task(self._bring_all())
        ends_at = time.monotonic() + _PATIENCE_SECONDS
        try:
            while not bringing.done() and self._peers.held_by_others():
                if self._truth.is_stale:
                    ends_at = time.monotonic() + _PATIENCE_SECONDS  # once it is back
                elif time.monotonic() > ends_at:
                    break
                await asyncio.wait([bringing], timeout=_LOOK_SECONDS)
        finally:
            await stop([bringing])
        self._open.set()
        self._tell()

    async def _bring_all(self) -> None:
        """Again and again while Postgres is away."""
        backoff = Backoff()
        await self._truth.first_word()
        while True:
            was_stale = self._truth.is_stale
            await self._bring()
            if not (was_stale or self._truth.is_stale) or not any(self._missing()):
                return
            if backoff.is_first:
                _log.warning("what other workers hold cannot be loaded: Postgres is away")
            await backoff.wait()

    async def _bring(self) -> None:
        """What others hold, one after the other, each once."""
        for environment_id in self._missing():
            if self._may_be_there(environment_id):
                await self._bring_one(environment_id)

    def _missing(self) -> Iterator[str]:
        """As far as there is room, whenever the next is taken."""
        for environment_id in self._peers.held_by_others():
            if self._held.version(environment_id) is None and len(self._held) < self._most:
                yield environment_id

    def _may_be_there(self, environment_id: str) -> bool:
        """What Postgres did not list is either deleted, or will be in the next check."""
        failed_at = self._failed_at.get(environment_id, float("-inf"))
        is_known = self._truth.has(environment_id) or self._provider.can_recall
        return is_known and time.monotonic() - failed_at > _AFTER_FAILURE_SECONDS

    async def _bring_one(self, environment_id: str) -> None:
        """A fault shows itself to whoever asks for it."""
        finding = self._provider.find(environment_id)
        (found,) = await asyncio.gather(finding, return_exceptions=True)
        if not isinstance(found, BaseException):
            self._failed_at.pop(environment_id, None)
            self._held.nobody_asked_for(environment_id)
        elif not await self._is_postgres_away(time.monotonic()):
            self._failed_at[environment_id] = time.monotonic()

    async def _is_postgres_away(self, since: float) -> bool:
        """By a check that was asked later: that a load failed does not say why."""
        while not self._truth.is_stale and self._truth.age_seconds >= time.monotonic() - since:
            await asyncio.sleep(_LOOK_SECONDS)
        return self._truth.is_stale

    def kept(self, snapshot: Snapshot, *, goes_back: bool) -> None:  # noqa: ARG002 - either way
        self._tell_soon()

    def dropped(self, environment_id: str, *, is_deleted: bool) -> None:  # noqa: ARG002 - either way
        self._failed_at.pop(environment_id, None)
        self._tell_soon()

    def _tell_soon(self) -> None:
        if self._open.is_set() and self._telling is None:
            loop = asyncio.get_running_loop()
            self._telling = loop.call_later(_TELL_SECONDS, self._tell)

    def _tell(self) -> None:
        """Of all that is held here, if that is not what was told last."""
        self._telling = None
        if self._peers.hold({snapshot.environment_id for snapshot in self._held}):
            self._peers.tell(Holding())
