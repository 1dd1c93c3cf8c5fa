"""What the one worker does that listens for its host."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from readserver.host import Peers
from readserver.tasks import stop, supervise

Run = Callable[[], Awaitable[None]]


class Leading:
    """Runs its tasks while this worker leads, and ends their connections when it does no more."""

    def __init__(self, peers: Peers, tasks: Mapping[str, Run]) -> None:
        self._peers = peers
        self._tasks = tasks

    async def run(self) -> None:
        while True:
            await self._peers.until(leads=True)
            running = [
                asyncio.create_task(supervise(name, run)) for name, run in self._tasks.items()
            ]
            try:
                await self._peers.until(leads=False)
            finally:
                await stop(running)
