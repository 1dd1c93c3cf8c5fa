"""`GET /v1/flags` and `/v1/configs` out of memory: a plain ASGI callable ahead of the router.

A credential that was accepted once is remembered with its finished answers until anything changes.
From then on a request costs one look-up by the bytes of its key, and two sends. Whatever is not
exactly that (another method, a list of tags, an unknown query…) takes the slow path, which decides
everything and is the only place that does.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from time import perf_counter, time
from typing import Any, Final

from starlette.types import ASGIApp, Receive, Scope, Send

from readserver import auth
from readserver.access import Admitted
from readserver.answers import CONFIGS, FLAGS, SNAPSHOT, Answer, Variants
from readserver.conditional import accepts_gzip
from readserver.provider import Found
from readserver.rate_limit import ClientLimit
from readserver.tallies import Tally
from readserver.telemetry import Counts, Number

SlowPath = Callable[[Scope, Send], Awaitable[None]]
_MOST_REMEMBERED: Final = 10_000  # credentials for each path
_EMPTY: Final[dict[str, Any]] = {"type": "http.response.body", "body": b""}


@dataclass(frozen=True, slots=True, eq=False)
class Remembered:
    """An accepted credential: what it gets, until when, and for which raw query strings."""

    variants: Variants
    expires_at: float  # seconds since 1970; infinity without an end
    queries: frozenset[bytes]
    limited: bytes | None = None  # what a client key is counted as; None for a server's

    def answer(self, accepted: bytes | None, known: bytes | None) -> Answer | None:
        """The variant for this Accept-Encoding, which the client knows if it sent If-None-Match;
        None where that is not exactly its entity tag: the slow path reads those."""
        answer = self.variants.gzip
        if answer is None or accepted is None or not accepts_gzip(accepted):
            answer = self.variants.identity
        return answer if known is None or known == answer.etag else None


@dataclass(frozen=True, slots=True, eq=False)
class Evaluating:
    """An accepted credential for evaluations: what it was admitted to, until when, and for which
    raw query strings."""

    admitted: Admitted
    expires_at: float  # seconds since 1970; infinity without an end
    queries: frozenset[bytes]


@dataclass(frozen=True, slots=True, eq=False)
class Repeat:
    """What a request got from the fast lane, and what counts it: equal bytes get the same again."""

    status: int
    lines: bytes  # the headers, but for uvicorn's own
    body: bytes
    expires_at: float  # seconds since 1970; infinity without an end
    tally: Tally
    number: Number


class Memo:
    """Accepted credentials by path and header bytes, and what they were answered. Emptied whenever
    anything changes."""

    def __init__(self) -> None:
        self.repeats: dict[bytes, Repeat] = {}  # by the request
        self.by_path: dict[str, dict[bytes, Remembered]] = {FLAGS: {}, CONFIGS: {}, SNAPSHOT: {}}
        self.evaluating: dict[bytes, Evaluating] = {}
        self.changes = 0  # how often it was emptied

    def remember(self, path: str, credential: bytes, entry: Remembered) -> None:
        known = self.by_path[path]
        if len(known) >= _MOST_REMEMBERED:
            known.clear()
        known[credential] = entry

    def accept(self, admitted: Admitted) -> None:
        """For evaluations. From the second request on the environment comes out of memory."""
        if len(self.evaluating) >= _MOST_REMEMBERED:
            self.evaluating.clear()
        held = replace(admitted, found=Found(admitted.found.prepared, "memory"))
        self.evaluating[admitted.credential] = Evaluating(
            held, auth.expires_at(admitted.grant), queries_of(admitted)
        )

    def forget(self) -> None:
        self.changes += 1
        self.repeats.clear()
        self.evaluating.clear()
        for known in self.by_path.values():
            known.clear()


def queries_of(admitted: Admitted) -> frozenset[bytes]:
    """The usual raw query strings of whoever was admitted."""
    environment = admitted.found.prepared.snapshot.key
    return frozenset((b"", b"environment=" + environment.encode()))


class FastPath:
    """Answers from the memo, else by the slow path; every other path goes to `app`."""

    def __init__(
        self, memo: Memo, slow_path: SlowPath, app: ASGIApp, counts: Counts, limit: ClientLimit
    ) -> None:
        self._by_path = memo.by_path
        self._slow_path = slow_path
        self._app = app
        self._fast = counts.fast
        self._observe = counts.requests.observe
        self._take = limit.take

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        path = scope["path"]
        known = self._by_path.get(path) if scope["type"] == "http" else None
        if known is None or (scope["method"] == "POST" and path == FLAGS):
            await self._app(scope, receive, send)
            return
        credential = if_none_match = accept_encoding = None
        for name, value in scope["headers"]:
            if name == b"authorization" or name == b"x-api-key":
                if credential is not None:
                    break
                credential = value
            elif name == b"accept-encoding":
                if accept_encoding is not None:
                    break
                accept_encoding = value
            elif name == b"if-none-match":
                if if_none_match is not None:
                    break
                if_none_match = value
        else:
            entry = known.get(credential)  # type: ignore[arg-type]
            if (
                entry is not None
                and scope["method"] == "GET"
                and scope["query_string"] in entry.queries
                and time() < entry.expires_at
            ):
                answer = entry.answer(accept_encoding, if_none_match)
                # Once refused it takes nothing; the slow path then says so.
                if answer is not None and (
                    entry.limited is None or self._take(entry.limited, scope)
                ):
                    entry.variants.tally.number += 1
                    if if_none_match is None:
                        self._fast[path, 200].value += 1
                        await send(answer.start)
                        await send(answer.content)
                    else:
                        self._fast[path, 304].value += 1
                        await send(answer.not_modified)
                        await send(_EMPTY)
                    self._observe(perf_counter() - began)
                    return
        await self._slow_path(scope, send)
        self._observe(perf_counter() - began)
