"""CORS: which web pages may read the public API from a browser.

Not Starlette's middleware: that changes the messages it passes on, and ours are finished and shared
by all requests; it also leaves out `Vary` where a request has no Origin.
"""

from typing import Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from readserver.answers import VARY, Header
from readserver.errors import problem

_PATHS: Final = ("/v1/", "/ofrep/")  # never the admin's, which may be on the same port
_ALLOWED: Final = (
    (b"access-control-allow-methods", b"GET, HEAD, POST"),
    (
        b"access-control-allow-headers",
        b"Authorization, X-API-Key, Content-Type, If-None-Match, Last-Event-ID",
    ),
    (b"access-control-max-age", b"3600"),
)
_EXPOSED: Final = (
    b"access-control-expose-headers",
    b"ETag, Retry-After, Flagctl-Revision, Flagctl-Stale, Age",
)
_DEPENDS: Final = (b"vary", b"Origin")


def vary(origins: tuple[str, ...]) -> bytes:
    """What finished answers depend on, also those for requests without an Origin: with a list of
    origins each page gets its own answer, with `*` all get the same."""
    return VARY + b", Origin" if origins and "*" not in origins else VARY


class Cors:
    """Around the whole public application, refusals included. A request without an Origin passes
    as it is."""

    def __init__(self, app: ASGIApp, origins: tuple[str, ...]) -> None:
        """`origins` in lower case, or `("*",)`."""
        self._app = app
        self._is_open = "*" in origins
        self._origins = frozenset(origin.encode() for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(_PATHS):
            for name, origin in scope["headers"]:
                if name == b"origin":
                    await self._from_page(origin, scope, receive, send)
                    return
        await self._app(scope, receive, send)

    async def _from_page(self, origin: bytes, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "OPTIONS" and _is_preflight(scope):
            await self._preflight(origin, send)
            return
        more = self._headers(origin)
        if self._is_allowed(origin):
            more.append(_EXPOSED)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _added(message["headers"], more)}
            await send(message)

        await self._app(scope, receive, with_headers)

    async def _preflight(self, origin: bytes, send: Send) -> None:
        if self._is_allowed(origin):
            status, body, headers = 204, b"", list(_ALLOWED)
        else:
            status = 403
            body, headers = problem(403, "web pages of this origin may not read here")
        headers += self._headers(origin)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _is_allowed(self, origin: bytes) -> bool:
        return self._is_open or origin in self._origins

    def _headers(self, origin: bytes) -> list[Header]:
        if self._is_open:
            return [(b"access-control-allow-origin", b"*")]
        allowed = [(b"access-control-allow-origin", origin)] if self._is_allowed(origin) else []
        return [*allowed, _DEPENDS]


def _is_preflight(scope: Scope) -> bool:
    return any(name == b"access-control-request-method" for name, _ in scope["headers"])


def _added(headers: list[Header], more: list[Header]) -> list[Header]:
    """Both, with `Vary: Origin` once: finished answers say it already."""
    says_so = any(name == b"vary" and b"Origin" in value for name, value in headers)
    return [*headers, *(h for h in more if h is not _DEPENDS or not says_so)]
