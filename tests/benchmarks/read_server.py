"""How fast the read server answers out of memory, and how soon a commit is visible.

Usage: python -m tests.benchmarks.read_server [--seconds 4] [--rounds 7]

The yardstick is a bare ASGI callable that sends the same bytes, both under uvicorn with uvloop and
httptools on core 0, wrk on core 1, by turns in one run; the ratio of the medians is the result.
"""

import argparse
import json
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from core.auth.api_keys import KeyKind, digest, generate
from core.cache.invalidation import Change, announce
from tests.support import readers
from tests.support.installations import Cluster, Installation
from tests.support.servers import running

FLAGS = 20
CHANGES = 300
TARGET_RATIO = 0.85
TARGET_VISIBLE_P99_MS = 50.0
_SERVER_CORE, _CLIENT_CORE = "0", "1"
_UNITS = {"us": 1e-3, "ms": 1.0, "s": 1e3}


@dataclass(frozen=True)
class Load:
    """One run of wrk. Latencies in milliseconds."""

    requests_per_second: float
    p50: float
    p99: float


def wrk(port: int, key: str, seconds: int) -> Load:
    output = subprocess.run(
        [
            *("taskset", "-c", _CLIENT_CORE, "wrk", "-t1", "-c32", f"-d{seconds}s", "--latency"),
            *("-H", f"Authorization: {key}", f"http://127.0.0.1:{port}/v1/flags?environment=prod"),
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Non-2xx" not in output, output
    found = re.search(r"Requests/sec:\s+([\d.]+)", output)
    assert found, output
    return Load(float(found[1]), _latency(output, "50%"), _latency(output, "99%"))


def _latency(output: str, percentile: str) -> float:
    found = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", output)
    assert found, output
    return float(found[1]) * _UNITS[found[2]]


def seed(installation: Installation) -> str:
    """Some flags that are on everywhere; the key of a server in prod."""
    key = generate(KeyKind.SERVER, installation.environment_id("prod"))
    with owner_change(installation) as connection:
        connection.execute(
            "INSERT INTO flagctl.flags (organization_id, key, type, variants, on_variant,"
            " off_variant, default_enabled) SELECT 1, 'flag_' || i, 'boolean',"
            """ '{"on": true, "off": false}', 'on', 'off', true FROM generate_series(1, %s) i""",
            [FLAGS],
        )
        connection.execute(
            "INSERT INTO flagctl.api_keys (organization_id, environment_id, name, kind, digest)"
            " SELECT 1, id, 'bench', 'server', %s FROM flagctl.environments WHERE key = 'prod'",
            [digest(key)],
        )
    return key


@contextmanager
def owner_change(installation: Installation) -> Iterator["psycopg.Connection[Any]"]:
    """A write in raw SQL, committed at the end."""
    with psycopg.connect(installation.owner_url.reveal()) as connection:
        connection.execute("SELECT flagctl.begin_owner_change('default', 'bench', 'bench')")
        yield connection


@contextmanager
def bare(answer: readers.Answer, folder: Path) -> Iterator[int]:
    """The yardstick's port."""
    described = folder / "answer.json"
    headers = [[name, value] for name, value in answer.headers.items() if name != "date"]
    described.write_text(json.dumps({"headers": headers, "body": answer.body.decode()}))
    command = ["taskset", "-c", _SERVER_CORE, sys.executable, "-m", "tests.benchmarks.bare_server"]
    with subprocess.Popen([*command, str(described)], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield int(process.stdout.readline())
        finally:
            process.terminate()


class Poller:
    """One keep-alive connection that asks for nothing but the revision, as fast as it can."""

    def __init__(self, port: int, key: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self._request = (
            f"GET /v1/flags HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\r\n".encode()
        )

    def revision(self) -> int:
        self._socket.sendall(self._request)
        answer = b""
        while b"}" not in answer:
            answer += self._socket.recv(65_536)
        found = re.search(rb"flagctl-revision: (\d+)", answer)
        assert found, answer
        return int(found[1])

    def wait_for(self, revision: int) -> None:
        ends_at = time.monotonic() + 10
        while self.revision() < revision:
            assert time.monotonic() < ends_at, "the change never became visible"
            time.sleep(0.001)  # this machine has work to do as well

    def close(self) -> None:
        self._socket.close()


def visible_after(
    installation: Installation, port: int, key: str, changes: int, *, publish: bool
) -> list[float]:
    """Milliseconds from the return of COMMIT to the first answer with the change.

    With `publish` Redis is told as well, as the CLI does; without it NOTIFY is alone.
    """
    poller, took = Poller(port, key), []
    environment_id = installation.environment_id("prod")
    with psycopg.connect(installation.owner_url.reveal()) as connection:
        for number in range(changes):
            connection.execute("SELECT flagctl.begin_owner_change('default', 'bench', 'bench')")
            connection.execute(
                "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id, enabled)"
                " SELECT 1, f.id, e.id, %(on)s FROM flagctl.flags f, flagctl.environments e"
                " WHERE f.key = 'flag_1' AND e.key = 'prod'"
                " ON CONFLICT (flag_id, environment_id) DO UPDATE SET enabled = %(on)s",
                {"on": number % 2 == 0},
            )
            row = connection.execute(
                "SELECT revision, stamp::text, flagctl.epoch() FROM flagctl.environments"
                " WHERE key = 'prod'"
            ).fetchone()
            assert row is not None
            connection.commit()
            committed_at = time.perf_counter()
            if publish:
                change = Change(environment_id, row[2], row[0], row[1])
                assert announce(installation.redis.writer, [change]) is None
            poller.wait_for(row[0])
            took.append((time.perf_counter() - committed_at) * 1e3)
    poller.close()
    return took


def percentiles(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {"p50": round(cuts[49], 2), "p99": round(cuts[98], 2), "max": round(max(values), 2)}


def throughput(
    reader: readers.Reader, key: str, folder: Path, *, rounds: int, seconds: int
) -> dict[str, Any]:
    reader.get("/v1/flags", key)
    answer = reader.get("/v1/flags", key)
    assert answer.headers["x-cache"] == "memory"
    taken: dict[str, list[Load]] = {"bare": [], "readserver": []}
    with bare(answer, folder) as bare_port:
        for port in (bare_port, reader.port):
            wrk(port, key, 1)  # warm
        for _ in range(rounds):
            for name, port in (("bare", bare_port), ("readserver", reader.port)):
                taken[name].append(wrk(port, key, seconds))
    result: dict[str, Any] = {
        name: {
            "requests_per_second": round(statistics.median(x.requests_per_second for x in loads)),
            "p50_ms": statistics.median(x.p50 for x in loads),
            "p99_ms": statistics.median(x.p99 for x in loads),
        }
        for name, loads in taken.items()
    }
    speeds = [result[name]["requests_per_second"] for name in ("readserver", "bare")]
    return result | {"ratio": round(speeds[0] / speeds[1], 3), "body_bytes": len(answer.body)}


def measure(*, rounds: int, seconds: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as name, running(Path(name)) as servers:
        folder = Path(name)
        cluster = Cluster(servers.superuser_url, servers.redis, folder)
        with cluster.installation() as installation:
            key = seed(installation)
            settings = readers.settings_for(installation)
            taskset = ("taskset", "-c", _SERVER_CORE)
            with readers.running(folder, settings, command=taskset) as reader:
                result = throughput(reader, key, folder, rounds=rounds, seconds=seconds)
            with readers.running(folder, settings, command=()) as reader:
                reader.get("/v1/flags", key)
                for kind, publish in (("notify", False), ("notify_and_redis", True)):
                    took = visible_after(installation, reader.port, key, CHANGES, publish=publish)
                    result[f"visible_ms_{kind}"] = percentiles(took)
    return result


def show(result: dict[str, Any]) -> None:
    print(f"{'GET /v1/flags':<16}{'requests/s':>12}{'p50 ms':>10}{'p99 ms':>10}")
    for name in ("bare", "readserver"):
        row = result[name]
        speed, p50, p99 = row["requests_per_second"], row["p50_ms"], row["p99_ms"]
        print(f"{name:<16}{speed:>12}{p50:>10.2f}{p99:>10.2f}")
    verdict = "ok" if result["ratio"] >= TARGET_RATIO else "MISSED"
    print(f"ratio {result['ratio']} (target {TARGET_RATIO}: {verdict})")
    for kind in ("notify", "notify_and_redis"):
        row = result[f"visible_ms_{kind}"]
        verdict = "ok" if row["p99"] <= TARGET_VISIBLE_P99_MS else "MISSED"
        print(f"commit to visible, {kind}: p50 {row['p50']} ms, p99 {row['p99']} ms ({verdict})")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=4)
    arguments = parser.parse_args()
    if not shutil.which("wrk") or not shutil.which("taskset"):
        print("this needs wrk and taskset: apt-get install wrk util-linux", file=sys.stderr)
        return 1
    result = measure(rounds=arguments.rounds, seconds=arguments.seconds)
    show(result)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
