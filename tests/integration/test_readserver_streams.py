"""Event streams of a running read server, and what the token in their address is good for."""

import json
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from core.auth.api_keys import KeyKind
from core.services import api_keys
from core.services.configs import set_value
from tests.support import readers
from tests.support.event_streams import listening
from tests.support.installations import Cluster, Installation
from tests.support.readers import Prod, Reader
from tests.support.waiting import eventually

BULK = "/ofrep/v1/evaluate/flags"
PAGE = "https://app.example.com"


@dataclass(frozen=True)
class World:
    installation: Installation
    reader: Reader
    prod: Prod

    def bulk(self, key: str, query: str = "", **headers: str) -> Any:
        path = f"{BULK}?{query}" if query else BULK
        return self.reader.ask("POST", path, key, body=b"{}", headers=headers)

    def address(self, key: str) -> str:
        (stream,) = self.bulk(key).json()["eventStreams"]
        found: str = stream["endpoint"]["requestUri"]
        assert stream == {
            "type": "sse",
            "endpoint": {"requestUri": found},
            "inactivityDelaySec": 120,
        }
        return found

    def change(self) -> int:
        """Of whatever is served; the new revision."""
        with self.installation.change() as change:
            set_value(change, "max_items", "prod", self.installation.revisions()["prod"])
        return self.installation.revisions()["prod"]

    def new_key(self, name: str) -> str:
        """A client's, that the reader knows."""
        with self.installation.change() as change:
            key = api_keys.create_key(change, name, "prod", kind=KeyKind.CLIENT).key
        readers.wait_for(
            self.reader, self.prod.server_key, self.installation.revisions()["prod"], within=10
        )
        return key


@pytest.fixture(scope="module")
def settings() -> dict[str, str]:
    return {
        "FLAGCTL_CHECK_INTERVAL": "600",  # whatever is heard was not found by a check
        "FLAGCTL_BODY_TIMEOUT": "0.3",
        "FLAGCTL_CORS_ORIGINS": PAGE,
        "FLAGCTL_STREAM_HEARTBEAT": "0.05",
        "FLAGCTL_STREAM_KEY_LIMIT": "4",
    }


@pytest.fixture(scope="module")
def world(
    cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, settings: dict[str, str]
) -> Iterator[World]:
    with cluster.installation() as installation:
        prod = readers.fill(installation)
        found = readers.settings_for(installation) | settings
        with readers.running(tmp_path_factory.mktemp("reader"), found) as reader:
            yield World(installation, reader, prod)


def test_a_change_is_heard_by_each_kind_of_client(world: World) -> None:
    server, client = world.prod.server_key, world.prod.client_key
    address = world.address(client)
    assert address == world.address(client) != world.address(server)
    with (
        listening(world.reader, key=server) as by_key,
        listening(world.reader, address, origin=PAGE) as by_address,
    ):
        assert (by_key.status, by_address.status) == (200, 200)
        said = by_address.headers
        assert said["content-type"] == "text/event-stream"
        assert said["cache-control"] == "no-store, no-transform"
        assert said["x-accel-buffering"] == "no"
        assert said["access-control-allow-origin"] == PAGE
        now = world.installation.revisions()["prod"]
        assert said["flagctl-revision"] == str(now)
        assert (by_key.revision(), by_address.revision()) == (now, now)
        revision = world.change()
        heard = by_key.event()
        assert heard == by_address.event()
        assert heard["event"] == "message"
        etag = heard["id"]
        assert heard["data"] == {
            "type": "refetchEvaluation",
            "etag": etag,
            "revision": revision,
        }
        again = world.bulk(client, f"flagConfigEtag={etag}").json()
        assert again["metadata"]["revision"] == revision
        assert by_key.block() == {"": ""}, "a heartbeat"
        assert world.reader.metric("flagctl_streams") == 2
        assert world.reader.metric("flagctl_stream_events_total") >= 2
    eventually(lambda: world.reader.metric("flagctl_streams") == 0, "closed streams are forgotten")


def test_who_comes_back_hears_what_was_missed_and_nothing_else(world: World) -> None:
    key = world.prod.server_key
    with listening(world.reader, key=key) as stream:
        known = stream.event()["id"]
    with listening(world.reader, key=key, last_event_id=known) as stream:
        first = stream.block()
        assert first is not None
        assert first.keys() == {"retry"}
        assert 1_000 <= int(first["retry"]) <= 5_000
        assert stream.block() == {"": ""}
        revision = world.change()
        assert stream.revision() == revision
    with listening(world.reader, f"/v1/stream?flagConfigEtag={known}", key=key) as stream:
        assert stream.revision() == revision
    made_up = f"{revision + 10**12}-{'0' * 16}"
    for id_ in (made_up, "nonsense", "9" * 400 + "-x"):
        with listening(world.reader, key=key, last_event_id=id_) as stream:
            assert stream.revision() == revision
    assert world.bulk(key, f"flagConfigEtag={made_up}").status == 200


def test_streams_end_with_their_key(world: World) -> None:
    revoked, rotated = world.new_key("revoked"), world.new_key("rotated")
    with ExitStack() as stack:
        stream = stack.enter_context(listening(world.reader, world.address(revoked)))
        other = stack.enter_context(listening(world.reader, world.address(rotated)))
        good = stack.enter_context(listening(world.reader, key=world.prod.server_key))
        address = world.address(revoked)
        with world.installation.change() as change:
            api_keys.revoke_key(change, "revoked", "prod")
        stream.read_to_the_end()
        again = world.reader.get(address)
        assert (again.status, again.json()["code"]) == (401, "unauthenticated")
        assert "ask for the flags again" in again.json()["hint"]
        with world.installation.change() as change:
            api_keys.rotate_key(change, "rotated", "prod", overlap=timedelta(seconds=0.5))
        assert other.event()
        other.read_to_the_end()
        revision = world.change()
        while good.revision() != revision:
            pass


def test_an_address_opens_streams_and_nothing_else(world: World) -> None:
    address = world.address(world.prod.client_key)
    token = address.partition("=")[2]
    assert world.prod.client_key not in address
    for path in ("/v1/flags", "/v1/configs", "/v1/snapshot"):
        assert world.reader.get(f"{path}?token={token}").status == 401
        for credential in (token, f"Bearer {token}"):
            assert world.reader.get(path, credential).status == 401
    assert world.bulk(token).status == 401
    assert world.reader.get("/v1/stream", token).status == 401
    environment, key_id, half_day, mac = token.split(".")
    for altered in (
        f"{environment}.{key_id}.{int(half_day) + 1}.{mac}",
        f"{environment}.{key_id}.{half_day}.{mac[::-1]}",
        f"{'0' * 16}.{key_id}.{half_day}.{mac}",
        f"{environment}.0000.{half_day}.{mac}",
        f"{environment}.{key_id}.{half_day}.{mac}A",
        "",
    ):
        answer = world.reader.get(f"/v1/stream?token={altered}")
        assert answer.status == 401, altered
    assert world.reader.get(address, world.prod.client_key).status == 401
    assert world.reader.get(f"{address}&environment=dev").status == 403
    assert world.reader.ask("POST", address).headers["allow"] == "GET, HEAD"
    assert world.reader.ask("HEAD", address).headers["content-type"] == "text/event-stream"
    assert mac not in world.reader.log.read_text()


def test_the_tag_of_a_bulk_answer_has_the_key_in_it(world: World) -> None:
    """Its body does: two keys of one kind are told two addresses."""
    first, second = world.new_key("first"), world.new_key("second")
    tag = world.bulk(first).headers["etag"]
    assert world.bulk(first, if_none_match=tag).status == 304
    assert world.bulk(second, if_none_match=tag).status == 200


def test_a_key_has_so_many_streams(world: World) -> None:
    key = world.new_key("many")
    with ExitStack() as stack:
        for _ in range(4):
            assert stack.enter_context(listening(world.reader, key=key)).status == 200
        answer = world.reader.get("/v1/stream", key, origin=PAGE)
        assert (answer.status, answer.json()["code"]) == (429, "too_many_requests")
        assert answer.headers["retry-after"] == "10"
        with listening(world.reader, key=world.prod.server_key) as other:
            assert other.status == 200


def test_a_stream_with_a_request_behind_it_is_forgotten_too(world: World) -> None:
    """Whoever leaves, leaves the stream as well, and not only what came last."""
    stream = f"GET /v1/stream HTTP/1.1\r\nHost: x\r\nAuthorization: {world.prod.server_key}\r\n\r\n"
    eventually(lambda: world.reader.metric("flagctl_streams") == 0, "those of other tests end")
    with socket.create_connection(("127.0.0.1", world.reader.port)) as peer:
        peer.sendall((stream + stream.replace("stream", "flags")).encode())
        eventually(lambda: world.reader.metric("flagctl_streams") == 1, "it is open")
    eventually(lambda: world.reader.metric("flagctl_streams") == 0, "it is forgotten")


def test_who_does_not_read_is_dropped_and_harms_nobody(world: World) -> None:
    dropped = world.reader.metric("flagctl_streams_dropped_total")
    with (
        socket.socket() as deaf,
        listening(world.reader, key=world.prod.server_key) as good,
    ):
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        deaf.connect(("127.0.0.1", world.reader.port))
        path = world.address(world.prod.client_key)
        deaf.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())

        def is_dropped() -> bool:
            revision = world.change()
            while good.revision() != revision:
                pass
            return world.reader.metric("flagctl_streams_dropped_total") > dropped

        eventually(is_dropped, "it is dropped", within=30)


def test_a_stop_ends_streams_at_once(
    world: World, settings: dict[str, str], tmp_path: Path
) -> None:
    found = readers.settings_for(world.installation) | settings
    with (
        readers.running(tmp_path, found) as reader,
        listening(reader, key=world.prod.server_key) as stream,
    ):
        began = time.monotonic()
        reader.process.send_signal(signal.SIGTERM)
        stream.read_to_the_end()
        assert reader.process.wait(10) == 0
        assert time.monotonic() - began < 5, "the grace time is ten seconds"
        assert "Traceback" not in reader.log.read_text()


def test_a_public_address(world: World, settings: dict[str, str], tmp_path: Path) -> None:
    found = readers.settings_for(world.installation) | settings
    public = {"FLAGCTL_PUBLIC_URL": "https://flags.example.com/eu/"}
    with readers.running(tmp_path, found | public) as reader:
        answer = reader.ask("POST", BULK, world.prod.client_key, body=b"{}")
        (stream,) = json.loads(answer.body)["eventStreams"]
        # All readers of an installation make the same addresses.
        expected = f"https://flags.example.com/eu{world.address(world.prod.client_key)}"
        assert stream["url"] == expected
