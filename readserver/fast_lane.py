"""The fast lane: answers before there is a scope, a task or a coroutine.

A request takes it in five steps. Whatever does not fit one of them goes on to the ordinary path
with its bytes untouched; everything that is refused is refused there.

1. `FastProtocol.data_received`: nothing of this connection is half read or unanswered. Where equal
   bytes were answered since anything changed, they get the same again, and that is all.
2. `read_head`: the bytes up to the first blank line are the head of a plain request for a path of
   ours. uvicorn's own parser reads it; equal bytes are read once.
3. `Lane.answer`: the memo knows its credential. Whoever changes anything empties the memo.
4. The answer: finished bytes for a GET; for an evaluation, which has its whole body by now, what
   the ordinary path would say too, since `EvaluateEndpoint.answer` says it for both.
5. `FastProtocol._answer` writes it, counts the request, and looks for the next one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from time import monotonic, time
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from readserver.access import Admitted
from readserver.answers import CONFIGS, FLAGS, Header, rendered
from readserver.auth import CREDENTIAL_HEADERS
from readserver.bodies import is_json
from readserver.context_answers import BULK
from readserver.endpoints.evaluate import SINGLE, SINGLE_ROUTE, EvaluateEndpoint
from readserver.fast_path import Memo, Repeat
from readserver.protocol import (
    HEAD_END,
    LARGEST_HEAD,
    MOST_CONNECTIONS,
    MOST_UNANSWERED,
    BoundedProtocol,
    Timeouts,
)
from readserver.rate_limit import ClientLimit
from readserver.telemetry import Counts

_LINES: Final = (b"GET /v1/", b"POST /ofrep/v1/evaluate/flags")  # how requests of ours begin
_LARGEST_HEAD: Final = 4_096  # bytes
_MOST_FIELDS: Final = 64  # in a head
_MOST_HEADS: Final = 1_000  # that are remembered: 15 MB at the most, usually less than one
TURN_SECONDS: Final = 0.002  # of one connection, before others have theirs
_LARGEST_JOINED: Final = 65_536  # bytes of a body; a copy of more takes longer than a second piece
_AT_MOST_ONCE: Final = (b"accept-encoding", b"if-none-match", b"content-type", b"content-length")
# Whoever sends one of these expects more than a plain answer.
_UNUSUAL: Final = (b"origin", b"expect", b"transfer-encoding", b"upgrade")
Client = tuple[str, int] | None
Pieces = tuple[bytes, ...]  # of an answer, which are written one after the other


@dataclass(frozen=True, slots=True, eq=False)
class Head:
    """What the head of a plain request says. `key` is of a single flag, `length` of the body."""

    data: bytes  # all of it
    route: str
    key: str | None
    query: bytes
    credential: bytes
    accepted: bytes | None  # Accept-Encoding
    known: bytes | None  # If-None-Match
    length: int
    headers: list[Header]


def read_head(data: bytes) -> Head | None:
    """The head that is all of `data`, if the fast lane knows what to do with it."""
    if not data.startswith(_LINES) or len(data) > _LARGEST_HEAD:
        return None
    said = _Said()
    parser = said.parser = httptools.HttpRequestParser(said)
    try:
        parser.feed_data(data)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        return None
    finally:
        said.parser = None
    return said.head(data, is_get=parser.get_method() == b"GET")


class _Said:
    """What the parser says, as uvicorn keeps it."""

    parser: httptools.HttpRequestParser | None = None

    def __init__(self) -> None:
        self._url = b""
        self._headers: list[Header] = []
        self._heads = 0
        self._is_complete = False
        self._stays_open = False

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Only now the parser knows: a message that is complete it has forgotten."""
        assert self.parser is not None  # noqa: S101 - it is what calls this
        self._heads += 1
        is_new = self.parser.get_http_version() == "1.1"
        self._stays_open = is_new and self.parser.should_keep_alive()

    def on_message_complete(self) -> None:
        self._is_complete = True

    def head(self, data: bytes, *, is_get: bool) -> Head | None:
        one = self._single_values()
        if one is None or self._heads != 1 or not self._stays_open:
            return None
        length = one.get(b"content-length")
        # A GET ends with its head; a POST goes on with a body, and says that it is JSON or nothing.
        if self._is_complete is not is_get or (length is None) is not is_get:
            return None
        if not is_json(one.get(b"content-type", b"application/json")):
            return None
        path, _, query = self._url.partition(b"?")
        route, key = _route(path, is_get=is_get)
        if not route or b"#" in query:
            return None
        return Head(
            data,
            route,
            key,
            query,
            one[b"credential"],
            one.get(b"accept-encoding"),
            one.get(b"if-none-match"),
            int(length or 0),
            self._headers,
        )

    def _single_values(self) -> dict[bytes, bytes] | None:
        """The fields that matter here, each with its one value; None when one stands there twice,
        or one that is unusual at all, or no credential, or many."""
        found: dict[bytes, bytes] = {}
        if len(self._headers) > _MOST_FIELDS:
            return None
        for name, value in self._headers:
            kind = b"credential" if name in CREDENTIAL_HEADERS else name
            if kind in _UNUSUAL or kind in found:
                return None
            if kind == b"credential" or kind in _AT_MOST_ONCE:
                found[kind] = value
        return found if b"credential" in found else None


def _route(path: bytes, *, is_get: bool) -> tuple[str, str | None]:
    """The route as the metrics name it, and the flag's key; an empty one for other paths."""
    if not path.isascii() or b"%" in path:
        return "", None
    text = path.decode()
    if is_get:
        return (text if text in (FLAGS, CONFIGS) else ""), None
    if text == BULK:
        return BULK, None
    key = text.removeprefix(SINGLE)
    return (SINGLE_ROUTE, key) if key and key != text else ("", None)


def _pieces(start: bytes, lines: bytes, body: bytes) -> Pieces:
    """A large body stays the object that all share: each connection that does not read it would
    keep a copy."""
    if len(body) > _LARGEST_JOINED:
        return start + lines, body
    return (b"".join((start, lines, body)),)


class Lane:
    """What all connections of a listener share. It is asked on the event loop only."""

    def __init__(
        self, memo: Memo, endpoint: EvaluateEndpoint, counts: Counts, limit: ClientLimit
    ) -> None:
        self._by_path, self._evaluating = memo.by_path, memo.evaluating
        self._endpoint = endpoint
        self._counts = counts
        self._take = limit.take
        self._heads: dict[bytes, Head] = {}
        self._repeats = memo.repeats
        self._starts: dict[int, bytes] = {}
        self.default_headers: list[Header] | None = None
        self.took = counts.requests.observe

    def use(self, default_headers: list[Header]) -> None:
        """uvicorn's headers come first; it makes a new list whenever the date is another."""
        self.default_headers = default_headers
        lines = rendered(default_headers) if default_headers else b""
        self._starts = {status: STATUS_LINE[status] + lines for status in (200, 304, 400)}

    def again(self, data: bytes) -> bytes | None:
        """The whole answer to a request that is known to the byte."""
        repeat = self._repeats.get(data)
        if repeat is None or time() >= repeat.expires_at:
            return None
        repeat.tally.number += 1
        repeat.number.value += 1
        return b"".join((self._starts[repeat.status], repeat.lines, repeat.body))

    def head(self, data: bytes) -> Head | None:
        """Remembers what accepted credentials send, and that only: nobody else fills the memory."""
        found = self._heads.get(data)
        if found is None:
            found = read_head(data)
            if found is not None and self._is_accepted(found):
                if len(self._heads) >= _MOST_HEADS:
                    self._heads.clear()
                self._heads[data] = found
        return found

    def answer(self, head: Head, body: bytes, client: Client) -> Pieces | None:
        """The whole answer; None when the ordinary path has to say something."""
        if not head.length:
            return self._served(head, client)
        try:
            return self._evaluated(head, body, client)
        except Exception:
            return None  # the ordinary path meets it again, and says what it is

    def _is_accepted(self, head: Head) -> bool:
        known = self._evaluating if head.length else self._by_path[head.route]
        return head.credential in known

    def _served(self, head: Head, client: Client) -> Pieces | None:
        entry = self._by_path[head.route].get(head.credential)
        if entry is None or head.query not in entry.queries or time() >= entry.expires_at:
            return None
        answer = entry.answer(head.accepted, head.known)
        if answer is None:
            return None
        if entry.limited is not None and not self._may_ask(entry.limited, head, client):
            return None
        status, lines, body = 200, answer.lines, answer.body
        if head.known is not None:
            status, lines, body = 304, answer.not_modified_lines, b""
        tally, number = entry.variants.tally, self._counts.fast[head.route, status]
        if entry.limited is None and len(body) <= _LARGEST_JOINED:
            self._remember(head.data, Repeat(status, lines, body, entry.expires_at, tally, number))
        tally.number += 1
        number.value += 1
        return _pieces(self._starts[status], lines, body)

    def _remember(self, data: bytes, repeat: Repeat) -> None:
        if len(self._repeats) >= _MOST_HEADS:
            self._repeats.clear()
        self._repeats[data] = repeat

    def _evaluated(self, head: Head, body: bytes, client: Client) -> Pieces | None:
        entry = self._evaluating.get(head.credential)
        if entry is None or head.query not in entry.queries or time() >= entry.expires_at:
            return None
        if head.length > self._endpoint.largest_body:
            return None
        admitted, context = entry.admitted, self._endpoint.context_of(body)
        evaluations = admitted.found.prepared.evaluations[admitted.grant.kind]
        if head.key is not None and head.key not in evaluations:
            return None
        if admitted.limited is not None and not self._may_ask(admitted.limited, head, client):
            return None
        if head.key is not None and not self._counts.evaluations.is_wanted:
            result = evaluations.evaluate(head.key, context)
            finished = evaluations.finished.get(id(result))
            if finished is None:
                status, lines, said = self._finished(head, admitted, context)  # which counts itself
                evaluations.finished[id(result)] = status, lines, evaluations.tally(result)
            else:
                status, lines, tally = finished
                said = evaluations.fragment(result)
                tally.number += 1
        else:
            status, lines, said = self._finished(head, admitted, context)
        self._counts.fast[head.route, status].value += 1
        return _pieces(self._starts[status], lines, said)

    def _finished(
        self, head: Head, admitted: Admitted, context: Mapping[str, Any]
    ) -> tuple[int, bytes, bytes]:
        """What the ordinary path says: the status, the headers after uvicorn's, and the body."""
        status, said, headers = self._endpoint.answer(
            head.route, head.key, admitted, context, head.accepted, head.known
        )
        return status, rendered(headers) + b"\r\n", said

    def _may_ask(self, limited: bytes, head: Head, client: Client) -> bool:
        """Asked last: what it takes is taken, and the ordinary path would take once more."""
        return self._take(limited, {"client": client, "headers": head.headers})


def fast(
    lane: Lane,
    timeouts: Timeouts,
    most_connections: int = MOST_CONNECTIONS,
    largest_head: int = LARGEST_HEAD,
    turn_seconds: float = TURN_SECONDS,
) -> "type[FastProtocol]":
    """The protocol of one listener."""

    class Fast(FastProtocol):
        _lane = lane
        _timeouts = timeouts
        _most_connections = most_connections
        _largest_head = largest_head
        _turn_seconds = turn_seconds

    return Fast


class FastProtocol(BoundedProtocol):
    """A connection: what the fast lane does not answer, `BoundedProtocol` does."""

    __slots__ = ()
    _lane: Lane
    _turn_seconds = TURN_SECONDS

    def data_received(self, data: bytes) -> None:
        if self._is_at_rest():
            began, lane, state = monotonic(), self._lane, self.server_state
            if state.default_headers is not lane.default_headers:
                lane.use(state.default_headers)
            answer = lane.again(data)
            if answer is not None:
                self.transport.write(answer)
                self._has_answered(1, began)
                return
            data = self._answer(data, began)
        if data:
            super().data_received(data)

    def _is_at_rest(self) -> bool:
        """Whether the next byte is the first of a request that may be answered at once."""
        cycle = self.cycle
        return (
            (cycle is None or cycle.response_complete)
            and not self._unfinished
            and not self._is_body_open
            and not self._held
            and not self.flow.write_paused
            and not self.transport.is_closing()
        )

    def _has_answered(self, answered: int, began: float) -> None:
        self._count(answered)  # and notes when
        if self._head_timer is not None:
            self._stop_head_timer()
        self._lane.took((self._answered_at - began) / answered, answered)

    def _answer(self, data: bytes, began: float) -> bytes:
        """Answer what `data` begins with, request by request; what is left of it."""
        lane, write = self._lane, self.transport.writelines
        start = answered = 0
        is_over = False
        while not self.flow.write_paused and not is_over:
            body = data.find(HEAD_END, start) + len(HEAD_END)
            if body < len(HEAD_END):
                break
            head = lane.head(data[start:body])
            if head is None or (end := body + head.length) > len(data):
                break
            answer = lane.answer(head, data[body:end], self.client)
            if answer is None:
                break
            write(answer)
            answered += 1
            start = end
            if start == len(data):
                break
            is_over = answered == MOST_UNANSWERED or monotonic() - began >= self._turn_seconds
        if answered:
            self._has_answered(answered, began)
        rest = data[start:]
        if is_over:  # others have their turn
            self._hold(rest)
            self.loop.call_soon(self._go_on)
            return b""
        return rest
