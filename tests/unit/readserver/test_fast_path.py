"""The fast path: what it answers itself, and what it leaves to the slow path."""

import asyncio
import time
from typing import Any

import pytest

from core.auth.api_keys import KeyKind
from core.snapshot.document import Served
from readserver.answers import FLAGS, prepare
from readserver.client_address import ClientAddresses
from readserver.fast_path import FastPath, Memo, Remembered
from readserver.rate_limit import ClientLimit
from readserver.telemetry import Counts
from tests.support.snapshots import flag, snapshot

VARIANTS = prepare(
    snapshot(served=Served(tuple(flag(f"flag_{i}") for i in range(200)), ()))
).answers[FLAGS, KeyKind.SERVER]
QUERIES = frozenset((b"", b"environment=prod"))


class Fixture:
    """A fast path that remembers the credential `key`, and what was sent or passed on."""

    def __init__(
        self, *, expires_at: float = float("inf"), limited: bytes | None = None, burst: float = 1
    ) -> None:
        self.memo = Memo()
        self.memo.remember(FLAGS, b"key", Remembered(VARIANTS, expires_at, QUERIES, limited))
        addresses = ClientAddresses(())
        limit = ClientLimit(rate=1, burst=burst, addresses=addresses, clock=lambda: 0.0)
        self.counts = Counts()
        self.sent: list[Any] = []
        self.passed_to = ""
        self.app = FastPath(self.memo, self._slow, self._router, self.counts, limit)

    async def _slow(self, scope: Any, send: Any) -> None:
        self.passed_to = "slow path"

    async def _router(self, scope: Any, receive: Any, send: Any) -> None:
        self.passed_to = "router"

    async def _send(self, message: Any) -> None:
        self.sent.append(message)

    async def _receive(self) -> Any:
        raise AssertionError("the fast path reads no body")

    def ask(
        self,
        *headers: tuple[bytes, bytes],
        method: str = "GET",
        path: str = FLAGS,
        query: bytes = b"",
    ) -> None:
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query,
            "headers": list(headers),
            "client": ("192.0.2.1", 1234),
        }
        asyncio.run(self.app(scope, self._receive, self._send))


KEY = (b"authorization", b"key")


@pytest.mark.parametrize("name", [b"authorization", b"x-api-key"])
@pytest.mark.parametrize("query", sorted(QUERIES))
def test_a_known_credential_is_answered(name: bytes, query: bytes) -> None:
    fixture = Fixture()
    fixture.ask((name, b"key"), (b"host", b"x"), query=query)
    assert fixture.sent == [VARIANTS.identity.start, VARIANTS.identity.content]
    assert (fixture.passed_to, fixture.counts.all_responses()) == ("", {(FLAGS, 200): 1})


def test_compressed() -> None:
    fixture = Fixture()
    fixture.ask(KEY, (b"accept-encoding", b"br, gzip"))
    assert VARIANTS.gzip is not None
    assert fixture.sent == [VARIANTS.gzip.start, VARIANTS.gzip.content]


def test_not_modified() -> None:
    fixture = Fixture()
    fixture.ask(KEY, (b"if-none-match", VARIANTS.identity.etag))
    assert [m.get("status") for m in fixture.sent] == [304, None]
    assert fixture.sent[1] == {"type": "http.response.body", "body": b""}
    assert fixture.counts.all_responses() == {(FLAGS, 304): 1}


def test_a_post_is_another_endpoints() -> None:
    fixture = Fixture()
    fixture.ask(KEY, method="POST")
    assert (fixture.sent, fixture.passed_to) == ([], "router")


@pytest.mark.parametrize(
    "asked",
    [
        {"method": "HEAD"},
        {"query": b"environment=dev"},
        {"query": b"x=1"},
    ],
)
def test_the_rest_is_the_slow_paths(asked: dict[str, Any]) -> None:
    fixture = Fixture()
    fixture.ask(KEY, **asked)
    assert (fixture.sent, fixture.passed_to) == ([], "slow path")


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [(b"authorization", b"other")],
        [KEY, (b"x-api-key", b"key")],
        [KEY, (b"if-none-match", b"*")],
        [KEY, (b"if-none-match", b'"x"')],
        [KEY, (b"if-none-match", b'"x"'), (b"if-none-match", VARIANTS.identity.etag)],
        [KEY, (b"accept-encoding", b"gzip"), (b"accept-encoding", b"br")],
    ],
)
def test_unusual_headers_are_the_slow_paths(headers: list[tuple[bytes, bytes]]) -> None:
    fixture = Fixture()
    fixture.ask(*headers)
    assert (fixture.sent, fixture.passed_to) == ([], "slow path")


def test_a_key_that_expired_meanwhile() -> None:
    fixture = Fixture(expires_at=time.time() - 1)
    fixture.ask(KEY)
    assert fixture.passed_to == "slow path"


@pytest.mark.parametrize("headers", [[KEY], [KEY, (b"if-none-match", VARIANTS.identity.etag)]])
def test_a_client_key_is_counted_once_for_each_answer(headers: list[tuple[bytes, bytes]]) -> None:
    fixture = Fixture(limited=b"key", burst=2)
    for _ in range(3):
        fixture.ask(KEY, (b"if-none-match", b'"x"'))  # the slow path counts these
    fixture.passed_to = ""
    for _ in range(2):
        fixture.ask(*headers)
    assert (len(fixture.sent), fixture.passed_to) == (4, "")
    fixture.ask(*headers)
    assert (len(fixture.sent), fixture.passed_to) == (4, "slow path")


def test_a_server_key_is_not_limited() -> None:
    fixture = Fixture(burst=1)
    for _ in range(50):
        fixture.ask(KEY)
    assert fixture.counts.all_responses() == {(FLAGS, 200): 50}


def test_whatever_was_forgotten() -> None:
    fixture = Fixture()
    fixture.memo.forget()
    fixture.ask(KEY)
    assert fixture.passed_to == "slow path"


def test_other_paths_are_the_routers() -> None:
    fixture = Fixture()
    fixture.ask(KEY, path="/v1/flags/")
    assert fixture.passed_to == "router"


def test_what_is_remembered_is_bounded() -> None:
    memo = Memo()
    for number in range(10_050):
        memo.remember(FLAGS, str(number).encode(), Remembered(VARIANTS, 1.0, QUERIES))
    assert len(memo.by_path[FLAGS]) == 50
