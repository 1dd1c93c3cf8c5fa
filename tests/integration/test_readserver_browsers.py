"""What browsers meet at a running read server: CORS, the rate limit, what they may see."""

import gzip
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from core.auth.api_keys import KeyKind
from core.services import api_keys, flags
from tests.support import readers
from tests.support.installations import Cluster, Installation
from tests.support.readers import Answer, Reader

PAGE = "https://app.example.com"
BURST = 5


@dataclass(frozen=True)
class World:
    """A reader for web pages, whose buckets never fill again while a test runs."""

    installation: Installation
    reader: Reader
    server_key: str

    def client_key(self) -> str:
        """A new one, with a full bucket."""
        with self.installation.change() as change:
            name = f"client-{self.installation.revisions()['prod']}"
            key = api_keys.create_key(change, name, "prod", kind=KeyKind.CLIENT).key
        readers.wait_for(
            self.reader, self.server_key, self.installation.revisions()["prod"], within=10
        )
        return key


@pytest.fixture(scope="module")
def world(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with cluster.installation() as installation:
        prod = readers.fill(installation)
        with installation.change() as change:
            for number in range(300):
                visible = number % 2 == 0
                flags.create_flag(
                    change, flags.Definition(f"flag_{number}", client_visible=visible)
                )
        settings = readers.settings_for(installation) | {
            "FLAGCTL_CORS_ORIGINS": PAGE,
            "FLAGCTL_CLIENT_RATE": "0.01",
            "FLAGCTL_CLIENT_BURST": str(BURST),
            "FLAGCTL_TRUSTED_PROXIES": "127.0.0.0/8",
            "FLAGCTL_HEADER_TIMEOUT": "2",
            "FLAGCTL_BODY_TIMEOUT": "2",
        }
        folder = tmp_path_factory.mktemp("reader")
        with readers.running(folder, settings) as reader:
            yield World(installation, reader, prod.server_key)


def preflight(world: World, page: str, path: str = "/v1/flags") -> Answer:
    headers = {"Origin": page, "Access-Control-Request-Method": "GET"}
    return world.reader.ask("OPTIONS", path, headers=headers)


def test_a_preflight(world: World) -> None:
    answer = preflight(world, PAGE)
    assert (answer.status, answer.body) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert "If-None-Match" in answer.headers["access-control-allow-headers"]
    assert preflight(world, "https://evil.example").status == 403
    assert preflight(world, PAGE, "/healthz").status == 405


@pytest.mark.parametrize("source", ["the slow path", "memory"])
def test_a_page_reads(world: World, source: str) -> None:
    for page, allowed in ((PAGE, PAGE), ("https://evil.example", None), (None, None)):
        headers = {"origin": page} if page else {}
        path = "/v1/flags" if source == "memory" else "/v1/flags?_=1"
        answer = world.reader.ask("GET", path, world.server_key, headers=headers)
        assert answer.status == 200
        assert answer.headers.get("access-control-allow-origin") == allowed
        assert answer.headers["vary"].count("Origin") == 1


def test_a_page_reads_refusals(world: World) -> None:
    for path, key, status in (
        ("/v1/flags", None, 401),
        ("/v1/flags?environment=dev", world.server_key, 403),
        ("/v1/nowhere", None, 404),
    ):
        answer = world.reader.get(path, key, origin=PAGE)
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (status, PAGE)


def test_a_client_key_has_a_rate(world: World) -> None:
    key = world.client_key()
    etag = world.reader.get("/v1/flags", key).headers["etag"]
    assert world.reader.ask("HEAD", "/v1/flags", key).status == 200
    assert world.reader.get("/v1/flags", key).headers["x-cache"] == "memory"
    assert world.reader.get("/v1/flags", key, if_none_match=etag).status == 304
    assert world.reader.get("/v1/configs", key).status == 200
    for headers in ({"Origin": PAGE}, {"Origin": PAGE, "If-None-Match": etag}):
        answer = world.reader.ask("GET", "/v1/flags", key, headers=headers)
        assert (answer.status, answer.json()["code"]) == (429, "too_many_requests")
        assert answer.headers["content-type"] == "application/problem+json"
        assert 1 <= int(answer.headers["retry-after"]) <= 100
        assert "Retry-After" in answer.headers["access-control-expose-headers"]
    assert world.reader.get("/v1/flags", f"Bearer {key}").status == 429
    assert world.reader.get("/v1/flags", x_api_key=key).status == 429


def test_addresses_behind_a_proxy_have_rates_of_their_own(world: World) -> None:
    key = world.client_key()
    for client in ("192.0.2.1", "192.0.2.2"):
        found = [
            world.reader.get("/v1/flags", key, x_forwarded_for=f"{number}.1.1.1, {client}").status
            for number in range(BURST + 2)
        ]
        assert found == [200] * BURST + [429] * 2


def test_a_server_key_has_none(world: World) -> None:
    statuses = {
        world.reader.get(path, world.server_key).status
        for path in ("/v1/flags", "/v1/flags?_=1")
        for _ in range(3 * BURST)
    }
    assert statuses == {200}


def test_no_way_of_asking_shows_a_client_more(world: World) -> None:
    """Also right after a server asked the same, out of memory, compressed or as another form."""
    hidden = {"dark_mode", "hidden", *(f"flag_{n}" for n in range(1, 300, 2))}
    key = world.client_key()
    for ask in (key, key, f"Bearer {key}"):
        packed = world.reader.get("/v1/flags", world.server_key, accept_encoding="gzip")
        assert hidden <= readers.Answer(200, {}, gzip.decompress(packed.body)).json().keys()
        seen = world.reader.get("/v1/flags", ask, accept_encoding="gzip")
        assert seen.headers["etag"] != packed.headers["etag"]
        found = readers.Answer(200, {}, gzip.decompress(seen.body)).json().keys()
        assert "banner" in found
        assert not hidden & found
    tag = packed.headers["etag"]
    assert world.reader.get("/v1/flags", key, if_none_match=tag).status == 200, "nothing is told"


@pytest.mark.parametrize("accepted", ["gzip;q=0", "*;q=0", "br", "identity", "gzip;q=0, *"])
def test_who_does_not_take_gzip(world: World, accepted: str) -> None:
    answer = world.reader.get("/v1/flags", world.server_key, accept_encoding=accepted)
    assert "content-encoding" not in answer.headers
    assert "Accept-Encoding" in answer.headers["vary"]
    assert len(answer.json()) > 300


def test_refusals_and_health_are_not_kept(world: World) -> None:
    for path in ("/v1/flags", "/nowhere", "/healthz", "/readyz"):
        assert world.reader.get(path).headers["cache-control"] == "no-store"


def test_requests_that_stop_halfway_end(world: World) -> None:
    begun = (b"", b"GET /v1/flags HTTP/1.1\r\nHost", b"GET / HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
    ports = (world.reader.port, world.reader.admin_port)
    with ExitStack() as stack:
        peers = []
        for port in ports:
            for half in begun:
                address = ("127.0.0.1", port)
                peer = stack.enter_context(socket.create_connection(address, timeout=60))
                peer.sendall(half)
                peers.append(peer)
        for peer in peers:
            while peer.recv(65_536):
                pass  # until it is closed
