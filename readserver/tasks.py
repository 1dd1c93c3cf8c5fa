"""Tasks that run beside the requests: started again after a fault, and stopped for certain."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)


async def supervise(name: str, run: Callable[[], Awaitable[None]]) -> None:
    """A task that ends by a fault of ours is started again: without it, changes would be missed."""
    while True:
        try:
            await run()
        except Exception as error:
            _log.error("a task failed and is started again", exc_info=error, extra={"task": name})
        await asyncio.sleep(1)


async def stop(tasks: list["asyncio.Task[None]"]) -> None:
    """Again and again: where Python's `wait_for` ends at that very moment, before 3.12, it swallows
    a cancellation, and redis-py sends its commands with it."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=0.2)
