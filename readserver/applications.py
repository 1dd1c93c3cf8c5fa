"""The two ASGI applications, and the fast lane, over parts that somebody else runs."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from core.errors import FlagctlError
from core.settings import Settings
from readserver import cors, errors
from readserver.announcements import Announcements
from readserver.answers import STREAM
from readserver.audit_log import AuditLog
from readserver.client_address import ClientAddresses
from readserver.contexts import Bounds
from readserver.cors import Cors
from readserver.endpoints import admin, docs, health, metrics
from readserver.endpoints.evaluate import EvaluateEndpoint
from readserver.endpoints.served import ServedEndpoint
from readserver.endpoints.stream import StreamEndpoint
from readserver.fast_lane import Lane
from readserver.fast_path import FastPath, Memo
from readserver.freshness import Freshness
from readserver.held import Held
from readserver.host import Peers
from readserver.kinds import Kinds
from readserver.latency import Timed
from readserver.provider import Provider
from readserver.rate_limit import ClientLimit
from readserver.stores.postgres import PostgresStore
from readserver.stores.redis import RedisStore
from readserver.streams import Streams
from readserver.telemetry import Counts, Gauges, HeldEnvironment, Telemetry
from readserver.trusted_keys import TrustedKeys
from readserver.truth import Truth
from readserver.worker_metrics import Collector, Shared

Share = Callable[[Telemetry], Shared]


@dataclass(frozen=True, slots=True)
class Applications:
    """What the listeners serve. `both` is for one port with everything."""

    public: ASGIApp
    admin: ASGIApp
    both: ASGIApp
    lane: Lane
    metrics: Collector
    provider: Provider
    held: Held
    streams: Streams
    counts: Counts


@dataclass(frozen=True, slots=True)
class Parts:
    """What the applications answer from."""

    settings: Settings
    provider: Provider
    held: Held
    streams: Streams
    truth: Truth
    freshness: Freshness
    memo: Memo
    counts: Counts
    redis: RedisStore | None
    postgres: PostgresStore
    keys: TrustedKeys
    peers: Peers
    kinds: Kinds

    def gauges(self) -> Gauges:
        return Gauges(
            environments=len(self.held),
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
            for snapshot, age in islice(self.held.ages(self.truth.age_seconds), most)
        ]


def assembled(parts: Parts, share: Share | None) -> Applications:
    """The applications over these parts."""
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
    slow_path = ServedEndpoint(provider, parts.freshness, memo, counts, limit, vary)
    stream = Route(STREAM, StreamEndpoint(provider, parts.streams, counts, limit, vary))

    def evaluate(app: ASGIApp) -> EvaluateEndpoint:
        return EvaluateEndpoint(
            provider,
            parts.freshness,
            memo,
            counts,
            limit,
            announcements,
            app,
            vary,
            bounds,
        )

    def served(routes: list[BaseRoute]) -> ASGIApp:
        others = Timed(evaluate(_router([stream, *routes])), counts.requests)
        fast_path = FastPath(memo, slow_path, others, counts, limit)
        return Cors(fast_path, settings.cors_origins) if settings.cors_origins else fast_path

    telemetry = Telemetry(counts, parts.gauges, parts.environments)
    collector = share(telemetry) if share is not None else telemetry
    public = health.routes(parts.held, provider, truth, parts.redis)
    private = [
        *admin.routes(AuditLog(parts.postgres, parts.keys)),
        *metrics.routes(collector),
        *docs.routes(),
    ]
    wrap = parts.kinds.application
    return Applications(
        public=wrap(served(public)),
        admin=wrap(_router([*private, *public])),
        both=wrap(served([*private, *public])),
        lane=parts.kinds.lane(memo, evaluate(_router([])), counts, limit),
        metrics=collector,
        provider=provider,
        held=parts.held,
        streams=parts.streams,
        counts=counts,
    )


def _router(routes: list[BaseRoute]) -> ASGIApp:
    handlers = dict.fromkeys((HTTPException, FlagctlError, Exception), errors.handle)
    app = Starlette(routes=routes, exception_handlers=handlers)
    app.router.redirect_slashes = False
    return app
