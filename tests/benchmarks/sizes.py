"""What a read server holds: large environments, many environments, many connections.

Usage: python -m tests.benchmarks.sizes
"""

import gc
import resource
import socket
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from core.auth.api_keys import KeyKind, digest, generate
from core.snapshot.codec import decode, encode
from readserver.answers import prepare
from tests.benchmarks.bench_flags import snapshot
from tests.benchmarks.bench_installations import add_flags, add_key, owner_change
from tests.benchmarks.figures import Figure, show
from tests.support import readers
from tests.support.installations import Cluster, Installation
from tests.support.readers import Reader
from tests.support.servers import running

FLAGS: Final = (1_000, 10_000)
LINEAR: Final = 11.0  # times the cost, at the most, of ten times the flags
ENVIRONMENTS: Final = 1_000
FLAGS_OF_EACH: Final = 20
CONNECTIONS: Final = 10_000
_ROUNDS: Final = 3
_SHARE: Final = 10  # the bounded server holds one environment in so many


def measure() -> list[dict[str, Any]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flagctl-bench-")))
        servers = stack.enter_context(running(folder))
        cluster = Cluster(servers.superuser_url, servers.redis, folder)
        figures = [*_large(cluster, folder), *_memory(), *_many(cluster, folder)]
        return [asdict(figure) for figure in figures]


def _large(cluster: Cluster, folder: Path) -> Iterator[Figure]:
    took: dict[str, list[float]] = {"database": [], "redis": []}
    for count in FLAGS:
        with cluster.installation() as installation:
            add_flags(installation, count)
            for source, seconds in _cold_loads(installation, folder).items():
                took[source].append(seconds)
                name = f"cold load of {count:,} flags, {source}"
                yield Figure(name, seconds * 1e3, "ms", None, "until the first answer is there")
    for source, (few, many) in took.items():
        yield Figure(f"10 × the flags, cold load, {source}", many / few, "×", LINEAR)


def _cold_loads(installation: Installation, folder: Path) -> dict[str, float]:
    """Seconds of a new server's first answer, by where it has it from."""
    key = add_key(installation, "prod")
    settings = readers.settings_for(installation)
    took: dict[str, list[float]] = {"database": [], "redis": []}
    for number in range(2 * _ROUNDS):
        source = ("database", "redis")[number % 2]
        if source == "database":
            with owner_change(installation) as connection:  # the copy in Redis is an old one then
                connection.execute(
                    "UPDATE flagctl.flags SET default_enabled = NOT default_enabled"
                    " WHERE key = 'flag-00000'"
                )
        with readers.running(folder, settings) as reader:
            began = time.perf_counter()
            answer = reader.get("/v1/flags", key)
            took[source].append(time.perf_counter() - began)
            assert answer.headers["x-cache"] == source, answer.headers
            time.sleep(0.5)  # until the copy is in Redis
    return {source: statistics.median(seconds) for source, seconds in took.items()}


def _memory() -> Iterator[Figure]:
    """By tracemalloc: what Python's allocators hold for an environment with all its answers."""
    held: list[float] = []
    for count in FLAGS:
        data = encode(snapshot(count))
        gc.collect()
        tracemalloc.start()
        loaded = decode(data)
        prepared = prepare(loaded)
        gc.collect()
        held.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        del loaded, prepared
        yield Figure(f"memory of an environment of {count:,} flags", held[-1] / 1e6, "MB", None)
    yield Figure("10 × the flags, memory", held[1] / held[0], "×", LINEAR)


def _many(cluster: Cluster, folder: Path) -> Iterator[Figure]:
    with cluster.installation() as installation:
        add_flags(installation, FLAGS_OF_EACH)
        keys = _add_environments(installation)
        settings = readers.settings_for(installation)
        yield from _connections(folder, settings, keys[0])
        held = []
        for most in (ENVIRONMENTS, ENVIRONMENTS // _SHARE):
            bound = {"FLAGCTL_MAX_ENVIRONMENTS": str(most)}
            with readers.running(folder, settings | bound) as reader:
                before = _resident(reader)
                for key in keys:
                    assert reader.get("/v1/flags", key).status == 200
                held.append(_resident(reader) - before)
                assert reader.metric("flagctl_environments") == most
        each = f"{FLAGS_OF_EACH} flags in each; {held[0] / ENVIRONMENTS / 1e3:.0f} KB for each"
        yield Figure(f"memory of {ENVIRONMENTS:,} environments", held[0] / 1e6, "MB", None, each)
        name = f"the same, {ENVIRONMENTS // _SHARE} of them held"
        yield Figure(name, held[1] / 1e6, "MB", held[0] / 1e6)


def _add_environments(installation: Installation) -> list[str]:
    """Their keys."""
    with owner_change(installation) as connection:
        connection.execute(
            "INSERT INTO flagctl.environments (organization_id, key, description, confirm)"
            " SELECT 1, 'env-' || i, '', false FROM generate_series(1, %s) i",
            [ENVIRONMENTS],
        )
    rows = installation.ask(
        "SELECT key, public_id FROM flagctl.environments WHERE key LIKE 'env-%%' ORDER BY id"
    )
    keys = [generate(KeyKind.SERVER, public_id) for _, public_id in rows]
    with owner_change(installation) as connection, connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO flagctl.api_keys (organization_id, environment_id, name, kind, digest)"
            " SELECT 1, id, 'bench', 'server', %s FROM flagctl.environments WHERE key = %s",
            [(digest(key), row[0]) for key, row in zip(keys, rows, strict=True)],
        )
    return keys


def _connections(folder: Path, settings: Mapping[str, str], key: str) -> Iterator[Figure]:
    """Each kind on a server of its own: what one gives back, the next would take."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    for path, what, detail in (
        ("/v1/flags", "idle connections", "after one request"),
        ("/v1/stream", "idle streams", "each with one event"),
    ):
        limit = {"FLAGCTL_STREAM_KEY_LIMIT": str(CONNECTIONS)}
        with readers.running(folder, {**settings, **limit}) as reader:
            held = _held_by(reader, path, key)
        each = f"{held / CONNECTIONS / 1e3:.1f} KB for each, {detail}"
        yield Figure(f"memory of {CONNECTIONS:,} {what}", held / 1e6, "MB", None, each)


def _held_by(reader: Reader, path: str, key: str) -> int:
    """Bytes of memory that so many peers cost, each with the beginning of its answer."""
    request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\r\n".encode()
    assert reader.get("/v1/flags", key).status == 200
    before = _resident(reader)
    with ExitStack() as stack:
        for _ in range(CONNECTIONS):
            address = ("127.0.0.1", reader.port)
            peer = stack.enter_context(socket.create_connection(address, timeout=10))
            peer.sendall(request)
            assert peer.recv(65_536).startswith(b"HTTP/1.1 200 ")
        return _resident(reader) - before


def _resident(reader: Reader) -> int:
    """Bytes of memory of its process."""
    return int(Path(f"/proc/{reader.process.pid}/statm").read_text().split()[1]) * 4_096


if __name__ == "__main__":
    show(measure())
    sys.exit(0)
