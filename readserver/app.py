"""Starts the parts of a read server and the tasks beside them, and stops them in reverse order."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from core.settings import Settings
from readserver.applications import Applications, Share, assembled
from readserver.host import Peers
from readserver.kinds import PLAIN, Kinds
from readserver.last_good import LastGood
from readserver.leading import Leading, Run
from readserver.receipts import Receipts
from readserver.stores.files import FileStore
from readserver.stores.redis import connect
from readserver.tasks import stop, supervise
from readserver.wiring import Wiring
from readserver.worker_metrics import Shared

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@asynccontextmanager
async def running(
    settings: Settings,
    share: Share | None = None,
    peers: Peers | None = None,
    kinds: Kinds = PLAIN,
) -> "AsyncIterator[Applications]":
    """The applications with everything beside them started, and stopped at the end. `share` shares
    a worker's metrics with the others, its `peers`.

    Raises InvalidInputError for an address that cannot be read. Neither Postgres nor Redis has to
    be there yet; a worker waits for them while others are there that hold more.
    """
    wiring = Wiring(settings, peers or Peers(), kinds)
    async with AsyncExitStack() as stack:  # what comes last here is the first to stop
        stack.push_async_callback(wiring.postgres.close)
        for_all = {"listener": wiring.listener.run} | _subscription(stack, wiring)
        tasks: dict[str, Run] = {
            "checker": wiring.checker.run,
            "leading": Leading(wiring.peers, for_all).run,
            "streams": wiring.streams.run,
            "common holdings": wiring.common.run,
        }
        tasks |= _receipts(stack, wiring)
        tasks |= _usage(stack, wiring)
        tasks |= await _last_good(stack, wiring)
        stack.push_async_callback(wiring.provider.close)
        await stack.enter_async_context(wiring.peers.joined(wiring.hearing()))
        _start(stack, tasks)
        apps = assembled(wiring.parts(), share)
        if isinstance(apps.metrics, Shared):
            _start(stack, {"metrics": apps.metrics.run})
        await wiring.common.opened()
        yield apps


def _subscription(stack: AsyncExitStack, wiring: Wiring) -> dict[str, Run]:
    """Redis, and the task that hears from it for all workers."""
    if wiring.redis is None or wiring.settings.redis_url is None:
        return {}
    stack.push_async_callback(wiring.redis.close)
    client = connect(wiring.settings.redis_url, timeout=2.0)  # for the subscription alone
    stack.push_async_callback(client.aclose)
    return {"subscriber": wiring.subscriber(client).run}


def _receipts(stack: AsyncExitStack, wiring: Wiring) -> dict[str, Run]:
    if wiring.redis is None:
        return {}
    receipts = Receipts(wiring.redis, wiring.memory, wiring.truth)
    wiring.held.watchers.append(receipts)
    stack.push_async_callback(receipts.leave)
    return {"receipts": receipts.run}


def _usage(stack: AsyncExitStack, wiring: Wiring) -> dict[str, Run]:
    if wiring.usage is None:
        return {}
    stack.push_async_callback(wiring.usage.flush)
    return {"usage": wiring.usage.run}


async def _last_good(stack: AsyncExitStack, wiring: Wiring) -> dict[str, Run]:
    """Looks which files there are before anybody can ask."""
    if (folder := wiring.settings.last_good_folder_path()) is None:
        return {}
    last_good = LastGood(FileStore(folder), wiring.truth, wiring.counts)
    await last_good.start()
    wiring.provider.last_good = last_good
    wiring.held.watchers.append(last_good)
    stack.push_async_callback(last_good.close)
    return {"last good": last_good.run}


def _start(stack: AsyncExitStack, tasks: Mapping[str, Run]) -> None:
    """All of them now; they are stopped together."""
    started = [asyncio.create_task(supervise(name, run)) for name, run in tasks.items()]
    stack.push_async_callback(stop, started)
