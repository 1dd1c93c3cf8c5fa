"""The public API of a running read server."""

import gzip
import http.client
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core import clock
from core.auth.api_keys import KeyKind, generate
from core.services import api_keys, configs
from core.services.flags import Definition, create_flag
from core.value_types import ValueType
from tests.support import readers
from tests.support.installations import Cluster, Installation
from tests.support.readers import Reader
from tests.support.waiting import eventually


@dataclass(frozen=True)
class World:
    """A reader of an installation that nothing changes."""

    reader: Reader
    server_key: str
    client_key: str
    dev_key: str
    environment_id: str


@pytest.fixture(scope="module")
def world(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with cluster.installation() as installation:
        prod = readers.fill(installation)
        with installation.change() as change:
            dev = api_keys.create_key(change, "dev", "dev")
        folder = tmp_path_factory.mktemp("reader")
        with readers.running(folder, readers.settings_for(installation)) as reader:
            yield World(
                reader,
                prod.server_key,
                prod.client_key,
                dev.key,
                installation.environment_id("prod"),
            )


def test_flags_and_configs(world: World) -> None:
    flags = world.reader.get("/v1/flags?environment=prod", world.server_key)
    assert flags.status == 200
    assert flags.json() == {"dark_mode": True, "hidden": False, "banner": True}
    configs_ = world.reader.get("/v1/configs?environment=prod", world.server_key)
    assert configs_.json() == {"max_items": 5}
    assert flags.headers["content-type"] == "application/json"
    assert flags.headers["cache-control"] == "private, no-cache"
    assert "Authorization" in flags.headers["vary"]
    assert int(flags.headers["flagctl-revision"]) > 1


def test_a_client_key_sees_what_is_client_visible(world: World) -> None:
    assert world.reader.get("/v1/flags", world.client_key).json() == {"banner": True}
    assert world.reader.get("/v1/configs", world.client_key).json() == {}


def test_an_environment_without_anything(world: World) -> None:
    found = world.reader.get("/v1/configs", world.dev_key)
    assert (found.status, found.json()) == (200, {})


@pytest.mark.parametrize("form", ["{}", "Bearer {}", "bearer {}"])
def test_forms_of_the_header(world: World, form: str) -> None:
    assert world.reader.get("/v1/flags", form.format(world.server_key)).status == 200


def test_the_other_header(world: World) -> None:
    assert world.reader.get("/v1/flags", x_api_key=world.server_key).status == 200


def test_the_second_answer_is_from_memory(world: World) -> None:
    world.reader.get("/v1/flags", world.server_key)
    assert world.reader.get("/v1/flags", world.server_key).headers["x-cache"] == "memory"


def test_memory_hits_do_no_io(world: World) -> None:
    world.reader.get("/v1/flags", world.server_key)
    names = ["flagctl_postgres_loads_total", "flagctl_redis_hits_total"]
    before = [world.reader.metric(name) for name in names]
    hits = world.reader.metric("flagctl_responses_total")
    for _ in range(20):
        world.reader.get("/v1/flags", world.server_key)
    assert [world.reader.metric(name) for name in names] == before
    assert world.reader.metric("flagctl_responses_total") == hits + 20


@pytest.mark.parametrize(
    "key",
    [
        None,
        "",
        "x",
        "Basic dXNlcjpwYXNz",
        f"fcs_{'f' * 16}{'A' * 38}",
    ],
)
def test_401_without_a_well_formed_key(world: World, key: str | None) -> None:
    answer = world.reader.get("/v1/flags", key)
    assert (answer.status, answer.json()["status"]) == (401, 401)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["www-authenticate"].startswith("Bearer")


def test_401_for_a_key_that_is_well_formed_and_unknown(world: World) -> None:
    unknown = generate(KeyKind.SERVER, world.environment_id)
    assert world.reader.get("/v1/flags", unknown).status == 401


def test_unknown_environments_cost_next_to_no_lookups(world: World) -> None:
    before = world.reader.metric("flagctl_postgres_loads_total")
    for number in range(50):
        key = generate(KeyKind.SERVER, f"{number:016x}")
        assert world.reader.get("/v1/flags", key).status == 401
    assert world.reader.metric("flagctl_postgres_loads_total") - before <= 3


def test_401_for_two_keys(world: World) -> None:
    answer = world.reader.get("/v1/flags", world.server_key, x_api_key=world.client_key)
    assert answer.status == 401


@pytest.mark.parametrize("environment", ["dev", "no-such-environment"])
def test_403_for_another_environment(world: World, environment: str) -> None:
    answer = world.reader.get(f"/v1/flags?environment={environment}", world.server_key)
    assert (answer.status, answer.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "query",
    [
        "environment=",
        "environment=PROD",
        "environment=a%20b",
        "environment=%ff",
        "environment=prod&environment=dev",
        "environment=" + "a" * 65,
        "x=%00",
    ],
)
def test_400_for_a_malformed_query(world: World, query: str) -> None:
    answer = world.reader.get(f"/v1/flags?{query}", world.server_key)
    assert (answer.status, answer.json()["code"]) == (400, "invalid_input")


def test_unknown_parameters_are_passed_over(world: World) -> None:
    answer = world.reader.get("/v1/flags?environment=prod&_=123", world.server_key)
    assert answer.status == 200


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/flags/", "/v1/flags/dark_mode", "/v2/flags"])
def test_404(world: World, path: str) -> None:
    answer = world.reader.get(path, world.server_key)
    assert (answer.status, answer.json()["status"]) == (404, 404)


@pytest.mark.parametrize("path", ["/metrics", "/openapi.json", "/docs", "/admin/audit-logs"])
def test_the_public_listener_has_nothing_of_the_admins(world: World, path: str) -> None:
    assert world.reader.get(path, world.server_key).status == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_405(world: World, method: str) -> None:
    for path in ("/v1/configs", "/healthz"):
        answer = world.reader.ask(method, path, world.server_key, body=b"{}")
        assert answer.status == 405
        assert "GET" in answer.headers["allow"]


def test_head_is_get_without_a_body(world: World) -> None:
    got = world.reader.get("/v1/flags", world.server_key)
    head = world.reader.ask("HEAD", "/v1/flags", world.server_key)
    assert (head.status, head.body) == (200, b"")
    for name in ("etag", "content-length", "content-type", "flagctl-revision"):
        assert head.headers[name] == got.headers[name]


def test_not_modified(world: World) -> None:
    etag = world.reader.get("/v1/flags", world.server_key).headers["etag"]
    for field in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        answer = world.reader.get("/v1/flags", world.server_key, if_none_match=field)
        assert (answer.status, answer.body) == (304, b"")
        assert answer.headers["etag"] == etag
        assert "content-type" not in answer.headers
    answer = world.reader.get("/v1/flags", world.server_key, if_none_match='"x"')
    assert answer.status == 200


def test_health(world: World) -> None:
    assert world.reader.get("/healthz").json() == {"status": "alive"}
    ready = world.reader.get("/readyz")
    assert (ready.status, ready.json()["stale"]) == (200, False)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "BREW"]),
    path=st.sampled_from(["/v1/flags", "/v1/configs", "/readyz", "/", "/v1/%ff", "/%00"]),
    query=st.binary(max_size=30),
    name=st.sampled_from(
        ["Authorization", "X-API-Key", "If-None-Match", "Accept-Encoding", "Content-Length", "Te"]
    ),
    value=st.binary(max_size=40),
    body=st.binary(max_size=50),
)
def test_random_requests_are_never_a_fault_of_ours(
    world: World, method: str, path: str, query: bytes, name: str, value: bytes, body: bytes
) -> None:
    request = b"".join(
        [
            f"{method} {path}?".encode(),
            query,
            f" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{name}: ".encode(),
            value,
            b"\r\n\r\n",
            body,
        ]
    )
    with socket.create_connection(("127.0.0.1", world.reader.port), timeout=5) as connection:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(65_536)
    if answer:
        assert answer.startswith((b"HTTP/1.1 2", b"HTTP/1.1 3", b"HTTP/1.1 4")), answer


def test_a_large_body_is_no_trouble(world: World) -> None:
    answer = world.reader.ask("GET", "/v1/flags", world.server_key, body=b"x" * 5_000_000)
    assert answer.status == 200


def test_keep_alive_serves_many_on_one_connection(world: World) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", world.reader.port, timeout=5)
    for _ in range(5):
        connection.request("GET", "/v1/flags", headers={"Authorization": world.server_key})
        response = connection.getresponse()
        assert response.status == 200
        response.read()
    connection.close()


def test_no_secret_in_the_log(world: World) -> None:
    world.reader.get("/v1/flags", world.server_key)
    world.reader.get("/v1/flags?environment=%ff", world.server_key)
    text = world.reader.log.read_text()
    assert world.server_key not in text
    assert "password" not in text
    assert "Traceback" not in text
    assert world.reader.lines()


def test_values_come_back_exactly(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    value: Any = {"ü😀": [2**70, 100.0, 1e16, -0.5, '\u0001\\"'], "n": {"deep": None}}
    with installation.change() as change:
        configs.define_config(change, configs.Definition("exact", ValueType.OBJECT))
        configs.set_value(change, "exact", "prod", value)
        key = api_keys.create_key(change, "k", "prod").key
        for number in range(300):
            create_flag(change, Definition(f"flag_{number}"))
    folder = tmp_path_factory.mktemp("reader")
    with readers.running(folder, readers.settings_for(installation)) as reader:
        found = reader.get("/v1/configs", key).json()["exact"]
        assert found == value
        assert [type(x) for x in found["ü😀"]] == [int, float, float, float, str]
        plain = reader.get("/v1/flags", key)
        packed = reader.get("/v1/flags", key, accept_encoding="gzip")
        assert packed.headers["content-encoding"] == "gzip"
        assert gzip.decompress(packed.body) == plain.body
        tag = packed.headers["etag"]
        again = reader.get("/v1/flags", key, accept_encoding="gzip", if_none_match=tag)
        assert again.status == 304
        assert len(plain.body) > 1024


def test_an_expired_key_ends_by_the_clock(
    installation: Installation, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("reader")
    with readers.running(folder, readers.settings_for(installation)) as reader:
        with installation.change() as change:
            soon = clock.now() + timedelta(seconds=6)
            key = api_keys.create_key(change, "short", "prod", expires_at=soon).key
        eventually(lambda: reader.get("/v1/flags", key).status == 200, "the key works")
        eventually(lambda: reader.get("/v1/flags", key).status == 401, "the key ends", within=30)
