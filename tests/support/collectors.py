"""A collector of OpenTelemetry's traces, over HTTP: it keeps what it was sent, or says nothing."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2


@dataclass(frozen=True)
class Arrived:
    """A span, with its ids in hexadecimal and everything in plain values."""

    name: str
    trace: str
    id: str
    parent: str
    kind: int
    failed: bool
    attributes: dict[str, Any]
    events: list[tuple[str, dict[str, Any]]]
    service: dict[str, Any]


class Collector:
    """`is_hung`: it takes what it is sent and does not answer."""

    def __init__(self) -> None:
        self.port = 0
        self.raw: list[bytes] = []
        self.is_hung = False
        self.released = threading.Event()

    @property
    def settings(self) -> dict[str, str]:
        """For a reader that sends its traces here, soon."""
        return {
            "FLAGCTL_TRACES": "on",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }

    def spans(self, name: str = "") -> list[Arrived]:
        """In the order of their ends, of all readers; those whose name begins with `name`."""
        requests = [ExportTraceServiceRequest.FromString(raw) for raw in list(self.raw)]
        return [
            _arrived(span, _plain(group.resource.attributes))
            for request in requests
            for group in request.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
            if span.name.startswith(name)
        ]


def _arrived(span: trace_pb2.Span, service: dict[str, Any]) -> Arrived:
    return Arrived(
        span.name,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.kind,
        span.status.code == trace_pb2.Status.STATUS_CODE_ERROR,
        _plain(span.attributes),
        [(event.name, _plain(event.attributes)) for event in span.events],
        service,
    )


def _plain(attributes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    each: KeyValue
    for each in attributes:
        found[each.key] = getattr(each.value, each.value.WhichOneof("value") or "string_value")
    return found


@contextmanager
def running() -> Iterator[Collector]:
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            assert self.path == "/v1/traces"
            collector.raw.append(body)
            if collector.is_hung:
                collector.released.wait(60)
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: Any) -> None:  # a reader that was killed
            pass

    server = Server(("127.0.0.1", 0), Handler)
    collector.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.released.set()
        server.shutdown()
        server.server_close()
        thread.join()
