"""Spans where they are made; tests/integration/test_readserver_traces.py has a collector."""

import logging
from typing import Any, cast

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from opentelemetry.trace import get_current_span

from core.auth.api_keys import KeyKind
from core.snapshot.document import KeyGrant, Served
from readserver import traces
from readserver.access import Admitted
from readserver.announcements import Announcements
from readserver.answers import FLAGS, prepare
from readserver.client_address import ClientAddresses
from readserver.contexts import Bounds
from readserver.endpoints.evaluate import EvaluateEndpoint
from readserver.fast_lane import read_head
from readserver.fast_path import Memo, Remembered
from readserver.provider import Found
from readserver.rate_limit import ClientLimit
from readserver.telemetry import Counts
from readserver.traces import Traced, TracedEvaluations, TracedLane
from tests.support.providers import always_fresh
from tests.support.snapshots import flag, snapshot

PREPARED = prepare(snapshot(served=Served((flag("dark_mode"),), ())), evaluations=TracedEvaluations)
GET = b"GET /v1/flags HTTP/1.1\r\nAuthorization: key\r\n\r\n"
ONE = b"POST /ofrep/v1/evaluate/flags/%b HTTP/1.1\r\nX-API-Key: key\r\nContent-Length: 2\r\n\r\n"


class World:
    """A lane that knows the credential `key`, and the spans that are over."""

    def __init__(self, rate: float = 1.0) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(TraceIdRatioBased(rate), shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = provider.get_tracer("tests")
        memo, counts = Memo(), Counts()
        limit = ClientLimit(rate=1, burst=1, addresses=ClientAddresses(()))
        parts = memo, counts, limit, Announcements(None), cast("Any", None), b"X", Bounds()
        endpoint = EvaluateEndpoint(cast("Any", None), always_fresh(), *parts)
        self.lane = TracedLane(self.tracer, memo, endpoint, counts, limit)
        self.lane.use([])
        queries = frozenset((b"",))
        variants = PREPARED.answers[FLAGS, KeyKind.SERVER]
        memo.remember(FLAGS, b"key", Remembered(variants, float("inf"), queries))
        grant = KeyGrant("a", KeyKind.SERVER, None)
        memo.accept(Admitted(Found(PREPARED, "database"), grant, b"digest", b"key"))

    def answer(self, data: bytes, body: bytes = b"") -> bytes | None:
        head = read_head(data)
        assert head is not None
        pieces = self.lane.answer(head, body, None)
        return b"".join(pieces) if pieces is not None else None

    @property
    def names(self) -> list[str]:
        return [span.name for span in self.exporter.get_finished_spans()]


def test_the_lane_answers_by_itself_with_a_span() -> None:
    world = World()
    for _ in range(2):  # the second answer is finished already
        assert (world.answer(ONE % b"dark_mode", b"{}") or b"").startswith(b"HTTP/1.1 200")
    assert (world.answer(GET) or b"").startswith(b"HTTP/1.1 200")
    assert world.lane.again(GET) is None, "the next one is a span of its own"
    assert world.names == ["POST /ofrep/v1/evaluate/flags/{key}"] * 2 + ["GET /v1/flags"]
    first, second, _ = world.exporter.get_finished_spans()
    assert [event.name for event in first.events] == ["feature_flag.evaluation"]
    assert first.events[0].attributes == second.events[0].attributes
    assert get_current_span().get_span_context().is_valid is False


def test_what_the_lane_hands_on_is_no_span_of_its() -> None:
    world = World()
    assert world.answer(ONE % b"unknown", b"{}") is None
    assert world.answer(ONE % b"dark_mode", b"[]") is None
    assert world.names == []


def test_what_is_not_chosen_is_answered_as_well() -> None:
    world = World(rate=0.0)
    assert (world.answer(GET) or b"").startswith(b"HTTP/1.1 200")
    assert world.names == []


async def _fails(_scope: Any, _receive: Any, _send: Any) -> None:
    raise RuntimeError("needle")


@pytest.mark.parametrize("path", ["/v1/flags", "//ofrep/v1/evaluate/flags/needle"])
def test_a_fault_is_named_by_its_kind(path: str) -> None:
    world = World()
    scope = {"type": "http", "path": path, "method": "GET", "headers": []}
    with pytest.raises(RuntimeError):
        Traced(world.tracer, _fails)(scope, cast("Any", None), cast("Any", None)).send(None)
    (span,) = world.exporter.get_finished_spans()
    assert (span.attributes or {})["error.type"] == "RuntimeError"
    assert not span.status.is_ok
    assert "needle" not in span.to_json()


@pytest.mark.parametrize(
    ("headers", "is_known"),
    [
        ([], False),
        ([(b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")], True),
        ([(b"traceparent", b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-01")] * 2, False),
        ([(b"traceparent", b"nonsense\xff")], False),
        ([(b"traceparent", b"x" * 4_000), (b"tracestate", b"y" * 4_000)], False),
    ],
)
def test_the_caller_s_trace(headers: list[tuple[bytes, bytes]], is_known: bool) -> None:
    world = World()
    traces.begin(world.tracer, "GET", FLAGS, headers).end()
    (span,) = world.exporter.get_finished_spans()
    assert (span.parent is not None) is is_known


def test_complaints_are_few_and_without_values(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.Logger("opentelemetry.somewhere")
    logger.addHandler(traces._Bounded(logging.WARNING))
    for _ in range(3):
        logger.warning("%s at %s: %d", ValueError("needle"), "http://needle", 404)
    logger.warning("%d", "needle")
    logger.info("needle")
    said = [vars(record)["complaint"] for record in caplog.records]
    assert said == ["ValueError at …: 404", "%d"]
