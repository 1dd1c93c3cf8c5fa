"""What read servers count, until it is in Redis: exact through both lanes, and never lost."""

import socket
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from core import clock
from core.cache import keys
from core.cache.usage import Usage, read
from tests.support import readers, servers
from tests.support.installations import Cluster, Installation
from tests.support.memory import folder_in_memory
from tests.support.readers import Prod, Reader, switch, wait_for
from tests.support.waiting import eventually

BULK = "/ofrep/v1/evaluate/flags"
QUICK = {"FLAGCTL_USAGE_INTERVAL": "0.05"}
SLOW = {"FLAGCTL_USAGE_INTERVAL": "3600"}
UNKNOWN = b"GET /last HTTP/1.1\r\nConnection: close\r\n\r\n"


@pytest.fixture
def raw(installation: Installation) -> Iterator[Any]:
    """Redis as an attacker has it."""
    with redis.Redis.from_url(installation.redis.administrator.reveal()) as client:
        yield client


def counted(installation: Installation) -> Usage:
    """What commands read, as the user that they are."""
    now = clock.now()
    with redis.Redis.from_url(installation.redis.writer.reveal(), driver_info=None) as client:
        id_ = installation.environment_id("prod")
        return read(client, id_, since=now.date() - timedelta(days=1), now=now)


def flags_of(installation: Installation) -> dict[str, dict[str, int]]:
    """Yesterday's and today's together: a test may run at midnight."""
    found: dict[str, dict[str, int]] = {}
    for day in counted(installation).days:
        for key, numbers in day.flags.items():
            for variant, number in numbers.items():
                of_flag = found.setdefault(key, {})
                of_flag[variant] = of_flag.get(variant, 0) + number
    return found


def bulk_of(installation: Installation) -> tuple[int, int]:
    days = counted(installation).days
    return sum(day.server for day in days), sum(day.client for day in days)


def day_key(installation: Installation) -> str:
    return keys.usage_key(installation.environment_id("prod"), clock.now().date())


def get(key: str, path: str = "/v1/flags", *lines: str) -> bytes:
    head = [f"GET {path} HTTP/1.1", "Host: x", f"Authorization: {key}", *lines]
    return "\r\n".join([*head, "", ""]).encode()


def post(key: str, path: str, *lines: str, body: bytes = b'{"context":{}}') -> bytes:
    head = [f"POST {path} HTTP/1.1", "Host: x", f"Authorization: {key}", *lines]
    head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, "", ""]).encode() + body


def send(reader: Reader, request: bytes, times: int) -> None:
    """One after the other on one connection, each in one packet: what the fast lane takes."""
    with socket.create_connection(("127.0.0.1", reader.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(times):
            connection.sendall(request)
        connection.sendall(UNKNOWN)
        said = b""
        while data := connection.recv(262_144):
            said += data
    assert said.count(b"HTTP/1.1 ") == times + 1


@pytest.mark.parametrize(
    "lane",
    [
        {"FLAGCTL_FAST_LANE": "on"},
        {"FLAGCTL_FAST_LANE": "off"},
        {"FLAGCTL_METRICS_EVALUATIONS": "100"},  # which has the lane count in another way
    ],
    ids=["fast", "ordinary", "with metrics"],
)
def test_every_answer_counts_once(
    installation: Installation, prod: Prod, tmp_path: Path, lane: dict[str, str]
) -> None:
    settings = readers.settings_for(installation) | QUICK | lane
    with readers.running(tmp_path, settings) as reader:
        server, client = prod.server_key, prod.client_key
        for key, times in (("dark_mode", 5), ("hidden", 3), ("nothing", 2)):
            send(reader, post(server, f"{BULK}/{key}"), times)
        send(reader, post(client, f"{BULK}/banner"), 4)
        send(reader, post(client, f"{BULK}/dark_mode"), 2)  # which it does not see
        expected = {"dark_mode": {"on": 5}, "hidden": {"off": 3}, "banner": {"on": 4}}
        eventually(lambda: flags_of(installation) == expected, "every evaluation")
        assert bulk_of(installation) == (0, 0)
        tags = {
            path: reader.ask(method, path, server, body=body).headers["etag"]
            for method, path, body in (
                ("GET", "/v1/flags", None),
                ("POST", BULK, b'{"context":{}}'),
                ("GET", "/v1/snapshot", None),
            )
        }
        send(reader, get(server), 4)
        send(reader, get(server, "/v1/flags", f"If-None-Match: {tags['/v1/flags']}"), 6)
        send(reader, get(server, "/v1/flags", 'If-None-Match: "x"'), 2)
        send(reader, post(server, "/v1/flags"), 3)
        send(reader, post(server, BULK), 2)
        send(reader, post(server, BULK, f"If-None-Match: {tags[BULK]}"), 5)
        send(reader, get(server, "/v1/snapshot"), 1)
        send(reader, get(server, "/v1/configs"), 7)  # which holds none
        send(reader, get("wrong"), 2)
        send(reader, get(client), 3)
        send(reader, post(client, BULK), 2)
        eventually(lambda: bulk_of(installation) == (3 + 4 + 6 + 2 + 3 + 2 + 5 + 1, 5), "all")
        assert flags_of(installation) == expected
        assert reader.metric("flagctl_usage_flushes_total") > 0
        assert reader.metric("flagctl_usage_failures_total") == 0
        began = counted(installation).counted_since
        assert began is not None
        assert clock.now() - began < timedelta(minutes=2)


def test_a_new_snapshot_loses_nothing(
    installation: Installation, prod: Prod, tmp_path: Path
) -> None:
    with readers.running(tmp_path, readers.settings_for(installation) | SLOW) as reader:
        request = post(prod.server_key, f"{BULK}/dark_mode")
        for state in ("off", "on", "off"):
            send(reader, request, 3)
            send(reader, get(prod.server_key), 2)
            wait_for(reader, prod.server_key, switch(installation, state), within=10)
        send(reader, request, 1)
        assert reader.metric("flagctl_usage_flushes_total") == 0, "nothing is sent yet"
        lists = answers_with_all_flags(reader)
        assert reader.stop() == 0
    assert flags_of(installation) == {"dark_mode": {"on": 6, "off": 4}}
    assert bulk_of(installation) == (lists, 0)


def answers_with_all_flags(reader: Reader) -> int:
    """As the metrics have them."""
    text = reader.get("/metrics", admin=True).body.decode()
    return sum(
        int(float(line.rsplit(" ", 1)[1]))
        for line in text.splitlines()
        if line.startswith('flagctl_responses_total{path="/v1/flags"')
    )


def test_several_readers_add_up(installation: Installation, prod: Prod, tmp_path: Path) -> None:
    settings = readers.settings_for(installation) | QUICK
    with readers.running(tmp_path, settings) as one, readers.running(tmp_path, settings) as other:
        for reader, times in ((one, 2), (other, 3), (one, 4)):
            send(reader, post(prod.server_key, f"{BULK}/dark_mode"), times)
        eventually(lambda: flags_of(installation) == {"dark_mode": {"on": 9}}, "the sum")


def test_workers_add_up_and_send_the_rest_when_they_stop(
    installation: Installation, prod: Prod, tmp_path: Path
) -> None:
    settings = readers.settings_for(installation) | SLOW | {"FLAGCTL_WORKERS": "2"}
    with readers.running(tmp_path, settings, command=()) as reader:
        for _ in range(10):  # connections: either worker takes some
            send(reader, post(prod.server_key, f"{BULK}/dark_mode"), 2)
        assert reader.stop() == 0
    assert flags_of(installation) == {"dark_mode": {"on": 20}}


def test_switched_off(installation: Installation, prod: Prod, tmp_path: Path, raw: Any) -> None:
    settings = readers.settings_for(installation) | SLOW | {"FLAGCTL_USAGE": "off"}
    with readers.running(tmp_path, settings) as reader:
        send(reader, post(prod.server_key, f"{BULK}/dark_mode"), 3)
        assert reader.stop() == 0
    assert counted(installation) == Usage(None, None, ())
    assert not raw.exists(day_key(installation))


STRANGE: dict[str, Any] = {
    "text": lambda raw, key: raw.set(key, "x"),
    "a list": lambda raw, key: raw.rpush(key, "x"),
    "another hash": lambda raw, key: raw.hset(key, mapping={"x": "y", "\0server": "-1"}),
    "no numbers": lambda raw, key: raw.hset(key, mapping={"dark_mode\0on": "1e9", "a\0b": ""}),
    "too long": lambda raw, key: raw.hset(key, "dark_mode\0on", "9" * 100_000),
    "no text": lambda raw, key: raw.hset(key, mapping={b"\xff\xfe\0on": 1, b"x" * 3_000_000: 1}),
    "far": lambda raw, key: raw.hset(key, "dark_mode\0on", str(2**63 - 1)),
}


@pytest.mark.parametrize("strange", STRANGE)
def test_garbage_is_harmless(
    installation: Installation, prod: Prod, tmp_path: Path, raw: Any, strange: str
) -> None:
    began = keys.usage_began_key(installation.environment_id("prod"))
    STRANGE[strange](raw, day_key(installation))
    raw.hset(began, "began", "9" * 15)
    found = flags_of(installation)
    assert all(number == 1 for numbers in found.values() for number in numbers.values())
    with readers.running(tmp_path, readers.settings_for(installation) | QUICK) as reader:
        send(reader, post(prod.server_key, f"{BULK}/dark_mode"), 3)
        eventually(lambda: flags_of(installation).get("dark_mode") == {"on": 3}, "it is counted")
        for value in ("x", "-5", "", "9" * 40, b"\xff"):
            raw.delete(began)
            raw.hset(began, "began", value)
            assert counted(installation).counted_since is None
        raw.delete(began)
        raw.set(began, "x")
        assert counted(installation).counted_since is None
        send(reader, post(prod.server_key, f"{BULK}/dark_mode"), 1)
        eventually(lambda: counted(installation).counted_since is not None, "it begins anew")
        assert reader.metric("flagctl_usage_failures_total") == 0
        assert reader.get("/readyz").json()["redis"] == "up"


def test_a_day_that_cannot_be_read_is_not_one_without_use(
    installation: Installation, prod: Prod, raw: Any
) -> None:
    """What came before the day after it is not known any more."""
    id_, now = installation.environment_id("prod"), clock.now()
    raw.hset(keys.usage_began_key(id_), "began", int(now.timestamp()) - 40 * 86_400)
    yesterday = now.date() - timedelta(days=1)
    found = counted(installation).counted_since
    assert found is not None
    assert found.date() == now.date() - timedelta(days=40)
    raw.set(keys.usage_key(id_, yesterday), "x")
    found = counted(installation).counted_since
    assert found is not None
    assert found.date() == yesterday + timedelta(days=1)


def test_a_redis_that_comes_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Counted on while it was away; what it lost with a kill was counted from then on."""
    with (
        folder_in_memory(tmp_path_factory.mktemp("own")) as folder,
        servers.running(folder) as own,
    ):
        if own.postgres is None or own.valkey is None:
            pytest.skip("these servers are not ours to stop")
        cluster = Cluster(own.superuser_url, own.redis, tmp_path_factory.mktemp("keys"))
        with cluster.installation() as installation:
            prod = readers.fill(installation)
            settings = readers.settings_for(installation) | QUICK
            with readers.running(tmp_path_factory.mktemp("reader"), settings) as reader:
                request = post(prod.server_key, f"{BULK}/dark_mode")
                send(reader, request, 3)
                eventually(lambda: flags_of(installation) == {"dark_mode": {"on": 3}}, "before")
                own.valkey.stop()
                send(reader, request, 4)
                eventually(lambda: reader.metric("flagctl_usage_failures_total") > 2, "it tries")
                send(reader, request, 2)
                own.valkey.start()
                numbers = [{"dark_mode": {"on": 9}}, {"dark_mode": {"on": 6}}]  # kept, or not
                eventually(lambda: flags_of(installation) in numbers, "all that was counted")
        cluster.close()
