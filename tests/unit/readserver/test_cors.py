"""CORS around an application whose messages are shared by all requests."""

import asyncio
from typing import Any

import pytest

from readserver.answers import VARY
from readserver.cors import Cors, vary

PAGE = "https://app.example.com"
ORIGINS = (PAGE, "http://localhost:3000")
START = {
    "type": "http.response.start",
    "status": 200,
    "headers": [(b"etag", b'"x"'), (b"vary", vary(ORIGINS))],
}


class Fixture:
    """What the application was asked and what was sent."""

    def __init__(self, origins: tuple[str, ...] = ORIGINS, start: Any = START) -> None:
        self.sent: list[Any] = []
        self.send_of_app: Any = None
        self.start = start
        self.app = Cors(self._app, origins)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        self.send_of_app = send
        await send(self.start)

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    def ask(self, *headers: tuple[bytes, bytes], method: str = "GET", path: str = "/v1/x") -> Any:
        """The first message."""
        scope = {"type": "http", "method": method, "path": path, "headers": list(headers)}
        asyncio.run(self.app(scope, None, self.send))  # type: ignore[arg-type]
        return self.sent[0]


def origin(text: str) -> tuple[bytes, bytes]:
    return (b"origin", text.encode())


def preflight(fixture: Fixture, page: str) -> Any:
    asks = (b"access-control-request-method", b"GET")
    return fixture.ask(origin(page), asks, method="OPTIONS")


def test_without_an_origin_nothing_is_between() -> None:
    fixture = Fixture()
    assert fixture.ask((b"host", b"x")) is START
    assert fixture.send_of_app == fixture.send


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/admin/audit-logs", "/v1"])
def test_other_paths_are_not_for_pages(path: str) -> None:
    assert Fixture().ask(origin(PAGE), path=path) is START


def test_a_page_of_the_list() -> None:
    headers = dict(Fixture().ask(origin(PAGE))["headers"])
    assert headers[b"access-control-allow-origin"] == PAGE.encode()
    assert b"Retry-After" in headers[b"access-control-expose-headers"]
    assert headers[b"etag"] == b'"x"'
    assert START["headers"] == [(b"etag", b'"x"'), (b"vary", vary(ORIGINS))], "it is shared"


@pytest.mark.parametrize(
    "page",
    ["https://evil.example", "null", "", PAGE + "/", PAGE + ":444", "https://app.example.com.evil"],
)
def test_another_page(page: str) -> None:
    assert Fixture().ask(origin(page)) == START
    refused = preflight(Fixture(), page)
    assert refused["status"] == 403
    names = {name for name, _ in refused["headers"]}
    assert b"vary" in names
    assert not any(name.startswith(b"access-control") for name in names)


def test_an_answer_that_was_not_prepared_for_it_says_what_it_depends_on() -> None:
    start = {"type": "http.response.start", "status": 429, "headers": []}
    for page in (PAGE, "https://evil.example"):
        assert (b"vary", b"Origin") in Fixture(start=start).ask(origin(page))["headers"]


def test_every_page() -> None:
    found = Fixture(("*",)).ask(origin("https://any.example"))["headers"]
    assert (b"access-control-allow-origin", b"*") in found
    assert (b"vary", b"Origin") not in preflight(Fixture(("*",)), PAGE)["headers"]


def test_a_preflight() -> None:
    answer = preflight(Fixture(), PAGE)
    headers = dict(answer["headers"])
    assert answer["status"] == 204
    assert headers[b"access-control-allow-origin"] == PAGE.encode()
    assert headers[b"vary"] == b"Origin"
    for name in (b"Authorization", b"X-API-Key", b"Content-Type", b"If-None-Match"):
        assert name in headers[b"access-control-allow-headers"]


def test_options_that_are_no_preflight_are_the_applications() -> None:
    fixture = Fixture()
    assert fixture.ask(origin(PAGE), method="OPTIONS")["status"] == 200
    assert fixture.send_of_app is not None


def test_what_finished_answers_depend_on() -> None:
    assert vary(()) == vary(("*",)) == VARY
    assert vary(ORIGINS) == VARY + b", Origin"
