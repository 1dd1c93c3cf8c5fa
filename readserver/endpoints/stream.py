"""`GET /v1/stream`: hears of each change, as server-sent events."""

import random
from collections.abc import Mapping
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.types import Receive, Scope, Send

from readserver import queries
from readserver.access import Admitted, admit_stream, caught_up, joined
from readserver.answers import STREAM, Header
from readserver.errors import problem_of
from readserver.event_stream import EventStream
from readserver.protocol import TIMED_OUT
from readserver.provider import Provider
from readserver.rate_limit import ClientLimit
from readserver.stream_events import event_of, greeting
from readserver.streams import Streams
from readserver.telemetry import Counts

_METHODS: Final = ("GET", "HEAD")
_PAST_ITS_TOKEN: Final = 3_600  # seconds
_HEADERS: Final = (
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store, no-transform"),
    (b"x-accel-buffering", b"no"),  # nginx would keep events until it has a page full
)


class StreamEndpoint:
    """Takes an API key in the headers, or in the query the token of an announced address."""

    def __init__(
        self, provider: Provider, streams: Streams, counts: Counts, limit: ClientLimit, vary: bytes
    ) -> None:
        """`vary` names the request's headers that an answer depends on."""
        self._provider = provider
        self._streams = streams
        self._counts = counts
        self._limit = limit
        self._vary = vary

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            if scope["method"] not in _METHODS:
                raise HTTPException(405, "this path takes GET and HEAD", {"Allow": "GET, HEAD"})
            admitted = await admit_stream(self._provider, self._limit, scope)
            known = _known(scope)
            admitted = await caught_up(self._provider, admitted, known)
            self._streams.check(admitted.digest)
        except Exception as error:
            status, body, headers = problem_of(error)
            self._counts.responses[STREAM, status] += 1
            await send(_start(status, headers))
            await send({"type": "http.response.body", "body": body})
            return
        self._counts.responses[STREAM, 200] += 1
        start = _start(200, self._headers(admitted))
        if scope["method"] == "HEAD":
            await send(start)
            await send({"type": "http.response.body", "body": b""})
            return
        stream = self._stream(admitted, known, start, send)
        self._streams.add(stream)
        try:
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self._streams.remove(stream, timed_out=TIMED_OUT in scope)

    def _stream(
        self, admitted: Admitted, known: str | None, start: dict[str, Any], send: Send
    ) -> EventStream:
        prepared = admitted.found.prepared
        # All streams of one token would end at once, and their clients ask for all flags at once.
        ends_at = admitted.ends_at + random.uniform(0, _PAST_ITS_TOKEN)  # noqa: S311 - it spreads
        stream = EventStream(send, start, prepared, key=admitted.digest, ends_at=ends_at)
        stream.say(greeting(event_of(prepared), known))
        return stream

    def _headers(self, admitted: Admitted) -> list[Header]:
        revision = str(admitted.found.prepared.snapshot.revision).encode()
        return [*_HEADERS, (b"vary", self._vary), (b"flagctl-revision", revision)]


def _start(status: int, headers: list[Header]) -> dict[str, Any]:
    return {"type": "http.response.start", "status": status, "headers": headers}


def _known(scope: Mapping[str, Any]) -> str | None:
    """The last event that the client heard of: browsers say it when they connect again."""
    header = joined(scope["headers"], b"last-event-id")
    if header is not None:
        return header.decode("latin-1")
    return queries.parse(scope["query_string"]).get("flagConfigEtag")
