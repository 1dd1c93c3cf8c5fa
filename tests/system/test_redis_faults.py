"""Redis killed, hung, slow and full while applications ask and somebody writes.

Not one read fails, changes arrive, Postgres is not flooded, and nothing has to be started again.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import redis

from core.auth.api_keys import KeyKind
from core.services import api_keys
from core.settings import Secret
from flagctl.embedded.valkey import EmbeddedValkey
from tests.support import proxies, readers
from tests.support.command_lines import CommandLine
from tests.support.installations import Cluster, Installation
from tests.support.postgres_log import watching
from tests.support.proxies import Proxy
from tests.support.readers import Prod, Reader, wait_for
from tests.support.servers import Servers
from tests.support.traffic import OF_APPLICATIONS, traffic
from tests.support.waiting import eventually

ENVIRONMENTS = ("dev", "staging", "prod")


@pytest.fixture
def installation(own_cluster: Cluster) -> Iterator[Installation]:
    with own_cluster.installation() as made:
        yield made


@pytest.fixture
def valkey(breakable: Servers) -> EmbeddedValkey:
    assert breakable.valkey is not None
    return breakable.valkey


@pytest.fixture
def way(installation: Installation) -> Iterator[Proxy]:
    """Readers and writers reach Redis by it."""
    socket = Path(installation.redis.reader.reveal().rpartition("@")[2])
    with (
        TemporaryDirectory(prefix="fc-") as short,
        proxies.running(Proxy(Path(short) / "redis.sock", socket)) as proxy,
    ):
        yield proxy


def through(way: Proxy, address: Secret) -> str:
    return address.reveal().replace(str(way.target), str(way.listening))


@pytest.fixture
def cli(installation: Installation, way: Proxy) -> CommandLine:
    redis_url = through(way, installation.redis.writer)
    return CommandLine(installation, installation.environ() | {"FLAGCTL_REDIS_URL": redis_url})


def settings(installation: Installation, way: Proxy) -> dict[str, str]:
    own = {"FLAGCTL_CHECK_INTERVAL": "0.5"}
    found = readers.settings_for(installation) | own
    return found | {"FLAGCTL_REDIS_URL": through(way, installation.redis.reader)}


@contextmanager
def killed(valkey: EmbeddedValkey, _way: Proxy) -> Iterator[None]:
    valkey.kill()
    try:
        yield
    finally:
        valkey.start()


@contextmanager
def hung(valkey: EmbeddedValkey, _way: Proxy) -> Iterator[None]:
    valkey.suspend()
    try:
        yield
    finally:
        valkey.resume()


def slow(seconds: float) -> Callable[[EmbeddedValkey, Proxy], AbstractContextManager[None]]:
    """Each message takes so long each way."""

    @contextmanager
    def begun(_valkey: EmbeddedValkey, way: Proxy) -> Iterator[None]:
        way.delay = seconds
        try:
            yield
        finally:
            way.delay = 0.0

    return begun


@contextmanager
def full(valkey: EmbeddedValkey, _way: Proxy) -> Iterator[None]:
    """It answers every write with OOM; `noeviction` is what it does as it comes."""
    with administrator(valkey) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        client.config_set("maxmemory", "1")
        with pytest.raises(redis.OutOfMemoryError):
            client.set("flagctl:full", "x")
        try:
            yield
        finally:
            client.config_set("maxmemory", "0")


@contextmanager
def administrator(valkey: EmbeddedValkey) -> Iterator[Any]:
    with redis.Redis.from_url(valkey.url("administrator")) as client:
        yield client


FAULTS = {
    "killed": killed,
    "hung": hung,
    "slow, 20 ms": slow(0.02),
    "slow, 300 ms": slow(0.3),
    "full": full,
}
CHANGES = 4


def is_right(path: str, document: Any) -> bool:
    if path.endswith("/dark_mode"):
        return type(document["value"]) is bool
    values = document if path == "/v1/flags" else {f["key"]: f["value"] for f in document["flags"]}
    return values.keys() == {"banner", "dark_mode", "hidden"}


@pytest.mark.parametrize("fault", FAULTS)
def test_under_load(
    installation: Installation,
    own_servers: Servers,
    valkey: EmbeddedValkey,
    way: Proxy,
    cli: CommandLine,
    tmp_path: Path,
    fault: str,
) -> None:
    assert own_servers.postgres is not None
    prod = readers.fill(installation)
    given = settings(installation, way)
    with (
        readers.running(tmp_path, given) as first,
        readers.running(tmp_path, given) as second,
        watching(own_servers.postgres, installation) as postgres,
    ):
        for reader in (first, second):
            assert reader.get("/v1/flags", prod.server_key).status == 200
            eventually(lambda: '"listening to Redis"' in reader.log.read_text(), "it listens")  # noqa: B023
        held = postgres.loads()
        load = traffic(
            *(first.port, prod.server_key, is_right), requests=OF_APPLICATIONS, with_tags=True
        )
        with load as clients:
            with FAULTS[fault](valkey, way):
                changed(installation, cli, prod, (first, second))
            for reader in (first, second):
                eventually(lambda: reader.get("/readyz").json()["redis"] == "up", "it is back")  # noqa: B023
            loaded = postgres.loads() - held
            recovered(installation, cli, prod, (first, second))
        assert clients.failures == []
        assert min(clients.answers) > 20
        assert clients.not_modified > 0
        if fault == "full":
            assert first.metric("flagctl_redis_failures_total") > 0, "it was refused"
        elif fault != "slow, 20 ms":
            assert "reading on without it" in first.log.read_text()
        # A change is one load for each reader, and may be one more where a check sees it first.
        assert CHANGES <= loaded <= 2 * CHANGES * 2
        assert postgres.at_work <= 2 * 2, "each loads one environment at a time, and checks"
        # Each: LISTEN, loads, and one that checks.
        assert postgres.most <= 2 * 3
        assert not [line for line in first.lines() if line["level"] == "error"]


def changed(
    installation: Installation, cli: CommandLine, prod: Prod, all_: tuple[Reader, ...]
) -> None:
    """Changes of the command line reach every reader; what it says of Redis is a warning."""
    for number in range(CHANGES):
        ran = cli.run("set", "dark_mode", "off" if number % 2 == 0 else "on", "--env", "prod")
        assert ran.code == 0
        assert ran.stderr == "" or ran.stderr.startswith("warning: the change is committed")
        for reader in all_:
            wait_for(reader, prod.server_key, installation.revisions()["prod"], within=20)
            assert "flagctl-stale" not in reader.get("/v1/flags", prod.server_key).headers


def recovered(
    installation: Installation, cli: CommandLine, prod: Prod, all_: tuple[Reader, ...]
) -> None:
    """Without a restart: the next change is told through Redis, and its copy lies there."""
    with redis.Redis.from_url(installation.redis.administrator.reveal()) as client:
        entry = f"flagctl:{{{installation.environment_id('prod')}}}:*"
        cli.ok("set", "dark_mode", "off", "--env", "prod")
        revision = installation.revisions()["prod"]
        for reader in all_:
            wait_for(reader, prod.server_key, revision, within=20)

        def has_copy() -> bool:
            found = [
                client.hgetall(k) for k in client.scan_iter(entry) if client.type(k) == b"hash"
            ]
            return any(f.get(b"revision") == str(revision).encode() and b"data" in f for f in found)

        eventually(has_copy, "the copy is in Redis")


def test_many_who_miss_at_once_are_one_load_for_each_environment(
    installation: Installation,
    own_servers: Servers,
    valkey: EmbeddedValkey,
    way: Proxy,
    tmp_path: Path,
) -> None:
    """A reader that begins while Redis is away, and everybody asks it for everything."""
    assert own_servers.postgres is not None
    with installation.change() as change:
        made = [
            api_keys.create_key(change, "app", name, kind=KeyKind.SERVER).key
            for name in ENVIRONMENTS
        ]
    statuses: list[int] = []
    with (
        killed(valkey, way),
        readers.running(tmp_path, settings(installation, way)) as reader,
        watching(own_servers.postgres, installation) as postgres,
    ):
        eventually(lambda: reader.get("/readyz").json()["postgres"] == "up", "it knows all ids")
        together = threading.Barrier(10 * len(made))

        def ask(key: str) -> None:
            together.wait()
            statuses.append(reader.get("/v1/flags", key).status)

        threads = [threading.Thread(target=ask, args=[key]) for key in made * 10]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert statuses == [200] * len(threads)
        assert postgres.loads() == len(made)
        assert postgres.at_work <= 2, "one load at a time, and a check"
