"""Puts the parts together: two ASGI applications over one provider, and the tasks beside them."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from core.errors import FlagctlError, InvalidInputError
from core.settings import Settings
from readserver import cors, errors, open_files
from readserver.announcements import Announcements
from readserver.answers import STREAM, prepare
from readserver.audit_log import AuditLog
from readserver.broadcast import RedisSubscriber
from readserver.checker import Checker
from readserver.client_address import ClientAddresses
from readserver.contexts import Bounds
from readserver.cors import Cors
from readserver.endpoints import admin, docs, health, metrics
from readserver.endpoints.evaluate import EvaluateEndpoint
from readserver.endpoints.served import ServedEndpoint
from readserver.endpoints.stream import StreamEndpoint
from readserver.evaluation_counts import EvaluationCounts
from readserver.fast_lane import Lane
from readserver.fast_path import FastPath, Memo
from readserver.host import Hearing, Peers
from readserver.host_messages import Changed, Filled
from readserver.last_good import LastGood
from readserver.latency import Timed
from readserver.leading import Leading, Run
from readserver.listener import PostgresListener
from readserver.provider import Provider
from readserver.rate_limit import ClientLimit
from readserver.receipts import Receipts
from readserver.stores.files import FileStore
from readserver.stores.memory import MemoryStore
from readserver.stores.postgres import PostgresStore
from readserver.stores.redis import RedisStore, connect
from readserver.streams import StreamBounds, Streams
from readserver.tasks import stop, supervise
from readserver.telemetry import Counts, Gauges, HeldEnvironment, Telemetry
from readserver.trusted_keys import TrustedKeys
from readserver.truth import Truth
from readserver.worker_metrics import Collector, Shared

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass(frozen=True, slots=True)
class Applications:
    """What the listeners serve. `both` is for one port with everything."""

    public: ASGIApp
    admin: ASGIApp
    both: ASGIApp
    lane: Lane
    metrics: Collector
    provider: Provider
    streams: Streams
    counts: Counts


Share = Callable[[Telemetry], Shared]


@dataclass(frozen=True, slots=True)
class _Parts:
    """What the applications answer from."""

    settings: Settings
    provider: Provider
    streams: Streams
    truth: Truth
    memo: Memo
    counts: Counts
    redis: RedisStore | None
    postgres: PostgresStore
    keys: TrustedKeys
    peers: Peers

    def gauges(self) -> Gauges:
        return Gauges(
            environments=len(self.provider),
            age_seconds=self.truth.age_seconds,
            stale=self.truth.is_stale,
            postgres_up=self.truth.is_reachable,
            redis_up=self.redis is not None and self.redis.is_up,
            streams=len(self.streams),
            leads=self.peers.leads,
        )

    def environments(self) -> list[HeldEnvironment]:
        most = int(self.settings.metrics_environments)
        return [
            HeldEnvironment(snapshot.environment_id, snapshot.key, snapshot.revision, age)
            for snapshot, age in islice(self.provider.ages(), most)
        ]


@asynccontextmanager
async def running(
    settings: Settings, share: Share | None = None, peers: Peers | None = None
) -> "AsyncIterator[Applications]":
    """The applications with everything beside them started, and stopped at the end. `share` shares
    a worker's metrics with the others, its `peers`.

    Raises InvalidInputError for an address that cannot be read. Neither Postgres nor Redis has to
    be there yet.
    """
    database = settings.require("reader_database_url")
    truth, memo, memory = Truth(), Memo(), MemoryStore()
    counts = Counts(evaluations=EvaluationCounts(int(settings.metrics_evaluations)))
    redis = _redis(settings, counts)
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

    postgres = PostgresStore(database, counts)
    provider = Provider(
        memory=memory,
        redis=redis,
        postgres=postgres,
        truth=truth,
        counts=counts,
        ask_for_check=lambda: checker.soon(),
        ask_about_unknown=lambda: checker.for_unknown(),
        on_change=changed,
        prepare=partial(prepare, vary=cors.vary(settings.cors_origins)),
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

        parts = _Parts(
            settings, provider, streams, truth, memo, counts, redis, postgres, keys, peers
        )
        apps = _applications(parts, share)
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


def _applications(parts: _Parts, share: Share | None) -> Applications:
    settings, provider, truth = parts.settings, parts.provider, parts.truth
    memo, counts = parts.memo, parts.counts
    vary = cors.vary(settings.cors_origins)
    limit = ClientLimit(
        rate=settings.client_rate,
        burst=settings.client_burst,
        addresses=ClientAddresses(settings.trusted_proxies),
    )
    bounds = Bounds(depth=settings.context_depth, size=settings.context_bytes)
    announcements = Announcements(settings.public_url)
    slow_path = ServedEndpoint(provider, truth, memo, counts, limit, vary)
    stream = Route(STREAM, StreamEndpoint(provider, parts.streams, counts, limit, vary))

    def evaluate(app: ASGIApp) -> EvaluateEndpoint:
        return EvaluateEndpoint(
            provider, truth, memo, counts, limit, announcements, app, vary, bounds
        )

    def served(routes: list[BaseRoute]) -> ASGIApp:
        others = Timed(evaluate(_router([stream, *routes])), counts.requests)
        fast_path = FastPath(memo, slow_path, others, counts, limit)
        return Cors(fast_path, settings.cors_origins) if settings.cors_origins else fast_path

    telemetry = Telemetry(counts, parts.gauges, parts.environments)
    collector = share(telemetry) if share is not None else telemetry
    public = health.routes(provider, truth, parts.redis)
    private = [
        *admin.routes(AuditLog(parts.postgres, parts.keys)),
        *metrics.routes(collector),
        *docs.routes(),
    ]
    return Applications(
        public=served(public),
        admin=_router([*private, *public]),
        both=served([*private, *public]),
        lane=Lane(memo, evaluate(_router([])), counts, limit),
        metrics=collector,
        provider=provider,
        streams=parts.streams,
        counts=counts,
    )


def _redis(settings: Settings, counts: Counts) -> RedisStore | None:
    if settings.redis_url is None:
        return None
    try:
        return RedisStore(connect(settings.redis_url), counts)
    except ValueError:
        raise InvalidInputError(
            "the address of Redis cannot be read",
            hint="it looks like redis://:password@host:6379/0",
        ) from None


def _router(routes: list[BaseRoute]) -> ASGIApp:
    handlers = dict.fromkeys((HTTPException, FlagctlError, Exception), errors.handle)
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app
