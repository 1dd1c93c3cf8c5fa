"""Traces: a real collector, real read servers, and what must not be in what they send."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest

from tests.support import collectors, forks, ofrep_worlds, readers
from tests.support.collectors import Arrived, Collector
from tests.support.installations import Cluster, Installation
from tests.support.ofrep_worlds import BULK
from tests.support.readers import Prod, Reader
from tests.support.waiting import eventually

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{CALLER}-01"
NEEDLE = "needle"  # stands in all that must not be sent
CONTEXT = {
    "targetingKey": f"{NEEDLE}-user",
    "country": "DE",
    "app_version": "2.71.8",
    f"{NEEDLE}_name": f"{NEEDLE}-value",
}
ONE = f"{BULK}/checkout_layout"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collectors.running() as running:
        yield running


def post(reader: Reader, path: str, key: str, *lines: str) -> bytes:
    """In one packet, as the fast lane wants it; the answer's first line."""
    body = json.dumps({"context": CONTEXT}).encode()
    head = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: {key}", *lines]
    head += [f"Content-Length: {len(body)}", "", ""]
    with socket.create_connection(("127.0.0.1", reader.port), timeout=10) as connection:
        connection.sendall("\r\n".join(head).encode() + body)
        return connection.recv(65_536).split(b"\r\n")[0]


def arrived(collector: Collector, count: int, name: str = "") -> list[Arrived]:
    eventually(lambda: len(collector.spans(name)) >= count, f"{count} spans of {name!r}")
    found = collector.spans(name)
    assert len(found) == count
    return found


@pytest.mark.parametrize("lane", ["on", "off"])
def test_an_evaluation(cluster: Cluster, collector: Collector, tmp_path: Path, lane: str) -> None:
    with cluster.installation() as installation:
        key, _ = ofrep_worlds.define(installation)
        settings = readers.settings_for(installation) | collector.settings
        with readers.running(tmp_path, settings | {"FLAGCTL_FAST_LANE": lane}) as reader:
            for _ in range(3):  # from the second one on, the fast lane knows the key
                sent = f"traceparent: {SAMPLED}", f"baggage: x={NEEDLE}", f"X-Y: {NEEDLE}"
                assert post(reader, f"{ONE}?q={NEEDLE}", key, *sent) == b"HTTP/1.1 200 OK"
                assert post(reader, ONE, key, *sent) == b"HTTP/1.1 200 OK"
            spans = arrived(collector, 6, "POST ")
            environment = collector.spans("flagctl.load")[0].attributes["flagctl.environment.id"]
        for span in spans:
            assert span.name == f"POST {BULK}/{{key}}"
            assert (span.trace, span.parent, span.kind, span.failed) == (TRACE, CALLER, 2, False)
            assert span.attributes == {
                "http.request.method": "POST",
                "http.route": f"{BULK}/{{key}}",
                "http.response.status_code": 200,
                "url.path": ONE,
                "url.scheme": "http",
            }
            ((name, event),) = span.events
            assert len(event.pop("feature_flag.version")) >= 8
            assert (name, event) == (
                "feature_flag.evaluation",
                {
                    "feature_flag.key": "checkout_layout",
                    "feature_flag.provider.name": "flagctl",
                    "feature_flag.result.variant": "compact",
                    "feature_flag.result.reason": "targeting_match",
                    "feature_flag.set.id": environment,
                },
            )
            assert span.service["service.name"] == "flagctl-readserver"
        everything = b"".join(collector.raw)
        for secret in (NEEDLE, key, key[-20:], "DE", "2.71.8"):
            assert secret.encode() not in everything
        assert NEEDLE not in reader.log.read_text()


def test_what_else_is_a_span(
    installation: Installation, collector: Collector, tmp_path: Path, prod: Prod
) -> None:
    own = collector.settings | {"OTEL_SERVICE_NAME": "flags"}
    settings = readers.settings_for(installation, redis=False) | own
    with readers.running(tmp_path, settings) as reader:
        bulk = reader.ask("POST", BULK, prod.client_key, body=b"{}").json()
        (stream,) = bulk["eventStreams"]
        path = "/v1/stream?" + stream["endpoint"]["requestUri"].split("?")[1]
        token = path.split("token=")[-1].split("&")[0]
        with socket.create_connection(("127.0.0.1", reader.port), timeout=10) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
            arrived(collector, 1, "GET /v1/stream")  # while it goes on
        assert reader.get("/v1/flags", prod.server_key).status == 200
        assert reader.get("/v1/flags", f"{NEEDLE}").status == 401
        assert reader.get(f"/{NEEDLE}", prod.server_key).status == 404
        assert reader.ask("POST", f"{BULK}/{NEEDLE}", prod.server_key, body=b"{}").status == 404
        assert reader.ask("PROPFIND", "/v1/configs", prod.server_key).status == 405
        assert reader.get("/admin/audit-logs", NEEDLE, admin=True).status == 401
        assert reader.get("/metrics", admin=True).status == 200
        spans = arrived(collector, 8)
    assert [(s.name, s.attributes.get("http.response.status_code")) for s in spans] == [
        ("flagctl.load", None),
        (f"POST {BULK}", 200),
        ("GET /v1/stream", 200),
        ("GET /v1/flags", 200),
        ("GET /v1/flags", 401),
        (f"POST {BULK}/{{key}}", 404),
        ("HTTP /v1/configs", 405),
        ("GET /admin/audit-logs", 401),
    ]
    assert spans[5].attributes["url.path"] == f"{BULK}/{{key}}"
    assert not any(span.events or span.failed for span in spans)
    assert {span.service["service.name"] for span in spans} == {"flags"}
    everything = b"".join(collector.raw)
    for secret in (NEEDLE, "PROPFIND", prod.server_key, prod.client_key, token):
        assert secret.encode() not in everything
    assert len(token) > 50


def test_loads(
    installation: Installation, collector: Collector, tmp_path: Path, prod: Prod
) -> None:
    settings = readers.settings_for(installation) | collector.settings
    with readers.running(tmp_path, settings) as reader:
        head = {"traceparent": SAMPLED}
        reader.ask("GET", "/v1/flags", prod.server_key, headers=head)
        eventually(lambda: collector.spans("GET"), "the request's span")
        (request,) = collector.spans("GET")
        first = collector.spans("flagctl.load")
        assert {(s.trace, s.parent) for s in first} == {(TRACE, request.id)}
        assert first[-1].attributes["flagctl.source"] == "database"
        at = readers.switch(installation, "off")
        readers.wait_for(reader, prod.server_key, at)

        def sources() -> set[str]:
            return {
                span.attributes["flagctl.source"]
                for span in collector.spans("flagctl.load")
                if span.attributes.get("flagctl.revision") == at
            }

        eventually(lambda: sources() == {"database"}, "the load of a change")
        with readers.running(tmp_path, settings) as other:
            readers.wait_for(other, prod.server_key, at)
            eventually(lambda: sources() == {"database", "redis"}, "the other one's read")
    ids = {s.attributes["flagctl.environment.id"] for s in collector.spans("flagctl.load")}
    assert len(ids) == 1


@pytest.mark.parametrize("lane", ["on", "off"])
def test_who_is_not_chosen(
    installation: Installation, collector: Collector, tmp_path: Path, prod: Prod, lane: str
) -> None:
    own = collector.settings | {"FLAGCTL_FAST_LANE": lane}
    settings = readers.settings_for(installation) | own
    with readers.running(tmp_path, settings) as reader:
        for _ in range(3):
            head = {"traceparent": SAMPLED[:-1] + "0"}
            assert reader.ask("GET", "/v1/flags", prod.server_key, headers=head).status == 200
        assert reader.stop() == 0
    assert collector.spans() == []  # nor of the load that it was begun for


STRANGE = [
    [],
    [f"traceparent: {SAMPLED}"],
    [f"traceparent: {SAMPLED}", f"traceparent: {SAMPLED}"],
    [f"traceparent: {SAMPLED}", "tracestate: " + "a=b," * 9_000],
    [f"traceparent: {SAMPLED}", f"tracestate: {NEEDLE}@{'y' * 300}=\xe9"],
    [f"traceparent: {SAMPLED}-\xe2\x80\xa8"],
    ["traceparent: " + "0" * 5_000],
    ["traceparent:", "tracestate: a=b"],
]


def thrice(reader: Reader, request: str, key: str, lines: list[str]) -> bytes:
    """What a connection with three requests in one packet is answered, but for the time."""
    line, _, body = request.partition("\n")
    head = [f"{line} HTTP/1.1", "Host: x", f"Authorization: {key}", *lines]
    head += [f"Content-Length: {len(body)}"] if body else []
    one, last = (
        ("\r\n".join([*head, *more, "", ""]) + body).encode("latin-1")
        for more in ([], ["Connection: close"])
    )
    said = b""
    with socket.create_connection(("127.0.0.1", reader.port), timeout=10) as connection:
        connection.sendall(one + one + last)
        while data := connection.recv(65_536):
            said += data
    return re.sub(rb"date: [^\r]*", b"", said)


def test_answers_are_those_without_traces(
    installation: Installation, collector: Collector, tmp_path: Path, prod: Prod
) -> None:
    context = json.dumps({"context": CONTEXT})
    requests = [
        *("GET /v1/flags", "GET /v1/configs", "HEAD /v1/flags", "PURGE /v1/flags", "GET /nothing"),
        *(f"POST {path}\n{context}" for path in (BULK, f"{BULK}/dark_mode", f"/{BULK}/%00")),
        *(f"POST {BULK}/dark_mode\n{{", "OPTIONS /v1/flags", "GET //v1/snapshot"),
    ]
    settings = readers.settings_for(installation)
    for folder in ("plain", "traced"):
        (tmp_path / folder).mkdir()
    with (
        readers.running(tmp_path / "plain", settings) as plain,
        readers.running(tmp_path / "traced", settings | collector.settings) as traced,
    ):
        for reader in (plain, traced):  # from now on out of memory
            assert reader.get("/v1/flags", prod.server_key).status == 200
        for request, lines, key in product(requests, STRANGE, (prod.server_key, NEEDLE)):
            answers = [thrice(reader, request, key, lines) for reader in (plain, traced)]
            assert answers[0] == answers[1], (request, lines)
        eventually(lambda: collector.spans("HTTP /v1/flags"), "an unknown method's")
        assert not [line for line in traced.lines() if line["level"] == "error"]
        assert NEEDLE not in traced.log.read_text()


@pytest.mark.parametrize("hung", [False, True])
def test_a_collector_that_does_not_work(
    installation: Installation, collector: Collector, tmp_path: Path, prod: Prod, hung: bool
) -> None:
    collector.is_hung = hung
    own = collector.settings | {
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={NEEDLE}",
        "OTEL_BSP_MAX_QUEUE_SIZE": "16",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE": "8",
    }
    if not hung:
        own["OTEL_EXPORTER_OTLP_ENDPOINT"] = f"http://{NEEDLE}:{NEEDLE}@127.0.0.1:1"
    with readers.running(tmp_path, readers.settings_for(installation) | own) as reader:
        took = []
        for _ in range(200):
            began = time.monotonic()
            assert reader.get("/v1/flags", prod.server_key).status == 200
            took.append(time.monotonic() - began)
        assert sorted(took)[190] < 0.25
        eventually(
            lambda: any("complaint" in line for line in reader.lines()), "it says so", within=5
        )
        began = time.monotonic()
        assert reader.stop() == 0
        assert time.monotonic() - began < 3
    said = [line["complaint"] for line in reader.lines() if "complaint" in line]
    assert len(said) == len(set(said)) <= 5
    assert NEEDLE not in reader.log.read_text()


def test_each_worker_sends_its_own(
    installation: Installation, collector: Collector, tmp_path: Path, prod: Prod
) -> None:
    settings = readers.settings_for(installation) | collector.settings
    with readers.running(tmp_path, settings | {"FLAGCTL_WORKERS": "2"}) as reader:

        def both() -> bool:
            reader.get("/v1/flags", prod.server_key)
            found = collector.spans("GET")
            return len({span.service["service.instance.id"] for span in found}) == 2

        eventually(both, "spans of both workers", within=20)
        assert reader.stop() == 0


def test_what_is_left_is_sent_when_it_stops(
    installation: Installation, collector: Collector, tmp_path: Path, prod: Prod
) -> None:
    own = collector.settings | {"OTEL_BSP_SCHEDULE_DELAY": "60000"}
    with readers.running(tmp_path, readers.settings_for(installation) | own) as reader:
        reader.get("/v1/flags", prod.server_key)
        assert reader.stop() == 0
    assert len(collector.spans("GET")) == 1


AT_EXIT = """
import atexit, sys
atexit.register(lambda: open("modules", "w").write("\\n".join(sys.modules)))
"""
BLOCKED = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.startswith("opentelemetry"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Finder())
"""


def beside(folder: Path, text: str) -> dict[str, str]:
    """Have every Python program begin with this."""
    (folder / "sitecustomize.py").write_text(text)
    others = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": os.pathsep.join([str(folder), others])}


def test_what_is_not_needed_is_not_imported(
    installation: Installation, tmp_path: Path, prod: Prod
) -> None:
    settings = readers.settings_for(installation) | beside(tmp_path, AT_EXIT)
    with readers.running(tmp_path, settings, command=()) as reader:
        assert reader.ask("POST", BULK, prod.server_key, body=b"{}").status == 200
        assert reader.stop() == 0
    modules = (tmp_path / "modules").read_text().split()
    assert "readserver.app" in modules
    unwanted = ("opentelemetry", "google.protobuf", "sqlalchemy")
    assert not [m for m in modules if m.startswith(unwanted)]


TRACED = {"FLAGCTL_READER_DATABASE_URL": "postgresql:///x", "FLAGCTL_TRACES": "on"}


def refused(done: "subprocess.CompletedProcess[str]") -> str:
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_without_the_extra(tmp_path: Path, workers: str) -> None:
    own = beside(tmp_path, BLOCKED) | {"FLAGCTL_WORKERS": workers}
    done = subprocess.run(
        [sys.executable, "-m", "readserver"],
        cwd=tmp_path,
        env=readers.environ(TRACED | own),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert refused(done) == (
        "readserver: FLAGCTL_TRACES is on, and OpenTelemetry is not installed"
        " (pip install 'flagctl[otel]', or set FLAGCTL_TRACES=off)\n"
    )


@pytest.mark.parametrize("workers", ["1", "2"])
def test_variables_that_opentelemetry_does_not_take(tmp_path: Path, workers: str) -> None:
    own = {"OTEL_BSP_MAX_QUEUE_SIZE": "-1", "FLAGCTL_WORKERS": workers}
    said = refused(forks.outcome(tmp_path, readers.environ(TRACED | own)))
    assert "OpenTelemetry does not take its variables: max_queue_size must be" in said
