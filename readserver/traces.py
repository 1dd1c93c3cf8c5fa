"""OpenTelemetry's traces, if FLAGCTL_TRACES asks for them: without it nobody imports this module.

- A request for one of `_PATHS` is a span, in either lane. Nothing that the caller chose is in it
  but the method and, where there is such a flag, its key: no header, no query, no context.
- The one flag that it evaluated, if it did, is an event of that span.
- A load from Postgres and a read from Redis is a span, below the request that it was begun for.

How spans are chosen and where they go, OpenTelemetry's own variables say (OTEL_…).
"""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from threading import Thread
from typing import Any, Final

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import core
from core.errors import InvalidInputError
from core.evaluation.result import Result
from core.snapshot.document import Snapshot, Version
from readserver.answers import CONFIGS, FLAGS, SNAPSHOT, STREAM, Header
from readserver.context_answers import BULK
from readserver.endpoints.evaluate import SINGLE, SINGLE_ROUTE
from readserver.evaluations import Evaluations
from readserver.fast_lane import Client, Head, Lane, Pieces
from readserver.fast_path import Repeat
from readserver.kinds import Kinds
from readserver.stores.postgres import PostgresStore
from readserver.stores.redis import RedisStore

_NAME: Final = "flagctl.readserver"
_SERVICE: Final = "flagctl-readserver"
_UNNAMED: Final = "unknown_service"  # how the SDK calls a service without OTEL_SERVICE_NAME
# Not health and metrics, which are asked all day, nor paths that somebody made up.
_PATHS: Final = frozenset((FLAGS, CONFIGS, SNAPSHOT, STREAM, BULK, "/admin/audit-logs"))
_METHODS: Final = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))
_LAST_WORDS_SECONDS: Final = 1.0  # for the spans that are left when the server stops
_SILENCE_SECONDS: Final = 60.0
_PROPAGATOR: Final = TraceContextTextMapPropagator()
_log = logging.getLogger(__name__)


class Request:
    """The span of a request, and what is known of it so far."""

    __slots__ = ("_error", "_is_over", "_result", "_route", "_seen", "span", "status")

    def __init__(self, span: Span, route: str) -> None:
        self.span = span
        self._route = route
        self.status: int | None = None
        self._result: Result | None = None
        self._seen: Mapping[str, Any] = {}
        self._error: str | None = None
        self._is_over = False

    def evaluated(self, result: Result, environment_id: str, version: str) -> None:
        self._result = result
        self._seen = {"feature_flag.set.id": environment_id, "feature_flag.version": version}

    def failed(self, error: BaseException) -> None:
        self._error = type(error).__name__  # the text can carry values

    def end(self) -> None:
        if self._is_over:
            return
        self._is_over = True
        span, path = self.span, self._route
        if self._result is not None:
            span.add_event("feature_flag.evaluation", self._event(self._result))
            path = SINGLE + self._result.key
        span.set_attribute("url.path", path)
        if self.status is not None:
            span.set_attribute("http.response.status_code", self.status)
            if self.status >= 500:
                self._error = self._error or str(self.status)
        if self._error is not None:
            span.set_attribute("error.type", self._error)
            span.set_status(StatusCode.ERROR)
        span.end()

    def _event(self, result: Result) -> dict[str, Any]:
        found = {
            "feature_flag.key": result.key,
            "feature_flag.provider.name": "flagctl",
            "feature_flag.result.variant": result.variant,
            "feature_flag.result.reason": result.reason.lower(),
            **self._seen,
        }
        if result.error is not None:
            found |= {"feature_flag.result.reason": "error", "error.type": result.error.lower()}
        return found


# What a load is begun for, and whose flag it is that is evaluated.
_current: ContextVar[Request | None] = ContextVar("the request at work", default=None)


def begin(tracer: Tracer, method: str, route: str, headers: Iterable[Header]) -> Request:
    """A span that the sampler may have turned down: then it records nothing."""
    known = method if method in _METHODS else "_OTHER"
    span = tracer.start_span(
        f"{known if known == method else 'HTTP'} {route}",
        _parent(headers),
        SpanKind.SERVER,
        {"http.request.method": known, "http.route": route, "url.scheme": "http"},
    )
    return Request(span, route)


def _parent(headers: Iterable[Header]) -> Context:
    """What `traceparent` says, if it stands there once."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        if name in (b"traceparent", b"tracestate"):
            found.setdefault(name.decode(), []).append(value.decode("latin-1"))
    if len(found.get("traceparent", ())) != 1:
        return Context()
    return _PROPAGATOR.extract(found, Context())


class Traced:
    """An application whose requests are spans."""

    def __init__(self, tracer: Tracer, app: ASGIApp) -> None:
        self._tracer = tracer
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        route = _route(scope["path"]) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
            return
        request = begin(self._tracer, scope["method"], route, scope["headers"])

        async def watched(message: Message) -> None:
            if message["type"] == "http.response.start":
                request.status = message["status"]
                if route == STREAM:  # which goes on for hours
                    request.end()
            await send(message)

        token = _current.set(request)
        try:
            await self._app(scope, receive, watched)
        except BaseException as error:
            request.failed(error)
            raise
        finally:
            _current.reset(token)
            request.end()


def _route(path: str) -> str | None:
    if path.startswith("//"):  # as EvaluateEndpoint takes it
        path = "/" + path.lstrip("/")
    if path in _PATHS:
        return path
    return SINGLE_ROUTE if path.startswith(SINGLE) else None


class TracedLane(Lane):
    """The fast lane, with a span for each request that the sampler chooses. What it hands on, the
    ordinary path begins anew."""

    def __init__(self, tracer: Tracer, *parts: Any) -> None:
        super().__init__(*parts)
        self._tracer = tracer

    def _remember(self, data: bytes, repeat: Repeat) -> None:
        """Nothing: each request is a span of its own."""

    def answer(self, head: Head, body: bytes, client: Client) -> Pieces | None:
        method = "POST" if head.length else "GET"
        request = begin(self._tracer, method, head.route, head.headers)
        if not request.span.is_recording():
            return super().answer(head, body, client)
        token = _current.set(request)
        try:
            answer = super().answer(head, body, client)
        finally:
            _current.reset(token)
        if answer is not None:  # a span that does not end is never sent
            request.status = int(answer[0][9:12])  # behind `HTTP/1.1 `
            request.end()
        return answer


class TracedEvaluations(Evaluations):
    """Says of a single flag what it was, without what it was decided by."""

    __slots__ = ()

    def evaluate(self, key: str, context: Mapping[str, Any]) -> Result:
        result = super().evaluate(key, context)
        if (request := _current.get()) is not None:
            version = self._programs[key].ruleset.version
            request.evaluated(result, self._snapshot.environment_id, version)
        return result


@contextmanager
def _loading(tracer: Tracer, environment_id: str, source: str) -> Iterator[Span]:
    request = _current.get()
    span = tracer.start_span(
        "flagctl.load",
        set_span_in_context(request.span) if request is not None else Context(),
        attributes={"flagctl.environment.id": environment_id, "flagctl.source": source},
    )
    try:
        yield span
    except BaseException as error:
        span.set_attribute("error.type", type(error).__name__)
        span.set_status(StatusCode.ERROR)
        raise
    finally:
        span.end()


class TracedPostgres(PostgresStore):
    def __init__(self, tracer: Tracer, *parts: Any) -> None:
        super().__init__(*parts)
        self._tracer = tracer

    async def refresh(
        self, environment_id: str, *, unless: Version | None = None
    ) -> Snapshot | Version | None:
        with _loading(self._tracer, environment_id, "database") as span:
            found = await super().refresh(environment_id, unless=unless)
            if found is not None:
                span.set_attribute("flagctl.revision", found.revision)
            return found


class TracedRedis(RedisStore):
    def __init__(self, tracer: Tracer, *parts: Any) -> None:
        super().__init__(*parts)
        self._tracer = tracer

    async def get(self, environment_id: str, at_least: Version | None = None) -> Snapshot | None:
        with _loading(self._tracer, environment_id, "redis") as span:
            found = await super().get(environment_id, at_least)
            if found is not None:
                span.set_attribute("flagctl.revision", found.revision)
            return found


@contextmanager
def exporting() -> Iterator[Kinds]:
    """What makes spans, and a thread of this process that sends them: not to be begun before a
    fork. Raises InvalidInputError for variables that OpenTelemetry does not take."""
    _bound_what_it_says()
    try:
        provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise InvalidInputError(
            f"OpenTelemetry does not take its variables: {error}", hint="look at those named OTEL_…"
        ) from None
    tracer = provider.get_tracer(_NAME, core.__version__)
    try:
        yield Kinds(
            application=partial(Traced, tracer),
            lane=partial(TracedLane, tracer),
            evaluations=TracedEvaluations,
            postgres=partial(TracedPostgres, tracer),
            redis=partial(TracedRedis, tracer),
        )
    finally:
        # It would wait half a minute for a collector that says nothing.
        closing = Thread(target=provider.shutdown, daemon=True)
        closing.start()
        closing.join(_LAST_WORDS_SECONDS)


def _resource() -> Resource:
    found = Resource.create({SERVICE_VERSION: core.__version__})
    if str(found.attributes[SERVICE_NAME]).startswith(_UNNAMED):
        return found.merge(Resource({SERVICE_NAME: _SERVICE}))
    return found


def _bound_what_it_says() -> None:
    logger = logging.getLogger("opentelemetry")
    logger.handlers[:] = [_Bounded(logging.WARNING)]
    logger.propagate = False
    logging.getLogger("urllib3").setLevel(logging.ERROR)


class _Bounded(logging.Handler):
    """What OpenTelemetry complains of: each thing once a minute, and of what it is filled in with
    numbers and kinds alone, since addresses and headers have secrets in them."""

    def __init__(self, level: int) -> None:
        super().__init__(level)
        self._said: dict[str, float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        place, now = f"{record.name}:{record.lineno}", time.monotonic()
        if now - self._said.get(place, float("-inf")) < _SILENCE_SECONDS:
            return
        self._said[place] = now
        _log.warning("OpenTelemetry complains", extra={"complaint": _without_values(record)})


def _without_values(record: logging.LogRecord) -> str:
    given = record.args if isinstance(record.args, tuple) else ()
    shown = tuple(_without_value(value) for value in given)
    try:
        return str(record.msg) % shown
    except (TypeError, ValueError):
        return str(record.msg)


def _without_value(value: object) -> object:
    if value is None or isinstance(value, int | float):
        return value
    return "…" if isinstance(value, str) else type(value).__name__
