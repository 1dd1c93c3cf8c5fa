"""Starts what a read server needs: stores, a provider over them, and the tasks beside them."""

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from core.errors import InvalidInputError
from core.settings import Settings
from readserver import cors, open_files
from readserver.answers import prepare
from readserver.applications import Applications, Parts, Share, assembled
from readserver.broadcast import RedisSubscriber
from readserver.checker import Checker
from readserver.evaluation_counts import EvaluationCounts
from readserver.fast_path import Memo
from readserver.host import Hearing, Peers
from readserver.host_messages import Changed, Filled
from readserver.kinds import PLAIN, Kinds
from readserver.last_good import LastGood
from readserver.leading import Leading, Run
from readserver.listener import PostgresListener
from readserver.provider import Provider
from readserver.receipts import Receipts
from readserver.stores.files import FileStore
from readserver.stores.memory import MemoryStore
from readserver.stores.redis import RedisStore, connect
from readserver.streams import StreamBounds, Streams
from readserver.tallies import uncounted
from readserver.tasks import stop, supervise
from readserver.telemetry import Counts
from readserver.trusted_keys import TrustedKeys
from readserver.truth import Truth
from readserver.usage import Usage
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
    be there yet.
    """
    database = settings.require("reader_database_url")
    truth, memo, memory = Truth(), Memo(), MemoryStore()
    counts = Counts(evaluations=EvaluationCounts(int(settings.metrics_evaluations)))
    redis = _redis(settings, counts, kinds)
    usage = _usage(settings, redis, memory, counts)
    peers = peers or Peers()

    def changed() -> None:
        memo.forget()
        streams.wake()

    def heard(environment_id: str, revision: int, channel: str) -> None:
        peers.tell(Changed(environment_id, revision, channel))
        provider.hint(environment_id, revision, channel)

    def saw_redis(redis: RedisStore, *, is_up: bool) -> None:
        redis.mark_up() if is_up else redis.mark_down()
        peers.tell_redis(is_up=is_up)

    postgres = kinds.postgres(database, counts)
    provider = Provider(
        memory=memory,
        redis=redis,
        postgres=postgres,
        truth=truth,
        counts=counts,
        ask_for_check=lambda: checker.soon(),
        ask_about_unknown=lambda: checker.for_unknown(),
        on_change=changed,
        prepare=partial(
            prepare,
            vary=cors.vary(settings.cors_origins),
            evaluations=kinds.evaluations,
            tallies_of=usage.of if usage is not None else uncounted,
        ),
        most=settings.max_environments,
        is_followed=lambda environment_id: environment_id in streams,
        on_filled=lambda environment_id: peers.tell(Filled(environment_id)),
    )
    streams = Streams(provider.held, counts, _stream_bounds(settings))
    keys = TrustedKeys(ask_for_check=lambda: checker.soon())
    checker = Checker(
        database,
        interval=settings.check_interval,
        keys=keys,
        counts=counts,
        peers=peers,
        on_answer=provider.verified,
        on_failure=provider.lost,
    )
    listener = PostgresListener(
        settings.listen_database_url or database,
        on_message=heard,
        on_connection=checker.soon,
    )
    for_all: dict[str, Run] = {"listener": listener.run}
    leading = Leading(peers, for_all)
    tasks = [("checker", checker.run), ("leading", leading.run), ("streams", streams.run)]
    async with AsyncExitStack() as stack:
        stack.push_async_callback(postgres.close)
        if redis is not None and settings.redis_url is not None:
            receipts = Receipts(redis, memory, truth)
            provider.watchers.append(receipts)
            stack.push_async_callback(redis.close)
            client = connect(settings.redis_url, timeout=2.0)  # for the subscription alone
            stack.push_async_callback(client.aclose)
            for_all["subscriber"] = RedisSubscriber(
                client,
                on_message=heard,
                on_connection=checker.soon,
                on_up=lambda: saw_redis(redis, is_up=True),
                on_down=lambda: saw_redis(redis, is_up=False),
            ).run
            stack.push_async_callback(receipts.leave)
            tasks.append(("receipts", receipts.run))
        if usage is not None:
            stack.push_async_callback(usage.flush)
            tasks.append(("usage", usage.run))
        if (folder := settings.last_good_folder_path()) is not None:
            last_good = LastGood(FileStore(folder), truth, counts)
            await _keep_last_good(stack, last_good, provider)
            tasks.append(("last good", last_good.run))
        stack.push_async_callback(provider.close)
        hearing = Hearing(
            on_change=provider.hint,
            on_filled=provider.filled,
            on_answer=checker.learn,
            on_wanted=checker.want,
            on_missed=checker.soon,
            on_redis_up=redis.mark_up if redis is not None else _ignore,
            on_redis_down=redis.mark_down if redis is not None else _ignore,
        )
        await stack.enter_async_context(peers.joined(hearing))
        stack.push_async_callback(
            stop, [asyncio.create_task(supervise(name, run)) for name, run in tasks]
        )

        parts = Parts(
            settings, provider, streams, truth, memo, counts, redis, postgres, keys, peers, kinds
        )
        apps = assembled(parts, share)
        if isinstance(apps.metrics, Shared):
            sharing = asyncio.create_task(supervise("metrics", apps.metrics.run))
            stack.push_async_callback(stop, [sharing])
        yield apps


def _ignore() -> None: ...


async def _keep_last_good(stack: AsyncExitStack, last_good: LastGood, provider: Provider) -> None:
    await last_good.start()
    provider.last_good = last_good
    provider.watchers.append(last_good)
    stack.push_async_callback(last_good.close)


def _stream_bounds(settings: Settings) -> StreamBounds:
    return StreamBounds(
        most=min(settings.stream_limit, open_files.room_for_streams()),
        most_per_key=settings.stream_key_limit,
        heartbeat=settings.stream_heartbeat,
        rate=settings.stream_rate,
    )


def _redis(settings: Settings, counts: Counts, kinds: Kinds) -> RedisStore | None:
    if settings.redis_url is None:
        return None
    try:
        return kinds.redis(connect(settings.redis_url), counts)
    except ValueError:
        raise InvalidInputError(
            "the address of Redis cannot be read",
            hint="it looks like redis://:password@host:6379/0",
        ) from None


def _usage(
    settings: Settings, redis: RedisStore | None, memory: MemoryStore, counts: Counts
) -> Usage | None:
    if redis is None or settings.usage == "off":
        return None
    return Usage(redis, memory, counts, interval=settings.usage_interval)
