"""`POST /ofrep/v1/evaluate/flags[/KEY]` and `POST /v1/flags`: flags for the caller's context."""

import gzip
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from core.evaluation.context_json import ContextError, UnreadableError
from core.evaluation.result import ErrorCode, Result
from readserver import auth, context_answers, queries
from readserver.access import Admitted, admit, caught_up, joined
from readserver.announcements import Announcements
from readserver.answers import FLAGS, Header
from readserver.bodies import read_json
from readserver.conditional import accepts_gzip, matches
from readserver.context_answers import BULK, packed
from readserver.contexts import Bounds, parse
from readserver.errors import problem, problem_of
from readserver.fast_path import Memo
from readserver.freshness import Freshness
from readserver.provider import Provider
from readserver.rate_limit import ClientLimit
from readserver.telemetry import Counts

SINGLE: Final = BULK + "/"
SINGLE_ROUTE: Final = BULK + "/{key}"
_LEAST_TO_COMPRESS: Final = 1_024  # bytes
_CODES: Final = {400: "PARSE_ERROR", 404: "FLAG_NOT_FOUND"}
Answer = tuple[int, bytes, list[Header]]


class EvaluateEndpoint:
    """Takes these paths, and leaves all others to `app`. A base address that ends with a slash
    makes clients ask for `//ofrep/…`."""

    def __init__(
        self,
        provider: Provider,
        freshness: Freshness,
        memo: Memo,
        counts: Counts,
        limit: ClientLimit,
        announcements: Announcements,
        app: ASGIApp,
        vary: bytes,
        bounds: Bounds,
    ) -> None:
        """`vary` names the request's headers that an answer depends on."""
        self._provider = provider
        self._freshness = freshness
        self._memo = memo
        self._counts = counts
        self._limit = limit
        self._announcements = announcements
        self._app = app
        self._vary = vary
        self._bounds = bounds
        self.largest_body = bounds.size  # bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path: str = scope.get("path", "")
        if path.startswith("//"):
            path = "/" + path.lstrip("/")
        if scope["type"] == "http" and path.startswith(BULK):
            if path == BULK:
                await self._respond(scope, receive, send, BULK, None)
                return
            if path.startswith(SINGLE):
                key = path.removeprefix(SINGLE)
                await self._respond(scope, receive, send, SINGLE_ROUTE, key)
                return
        elif scope["type"] == "http" and path == FLAGS and scope["method"] == "POST":
            await self._respond(scope, receive, send, FLAGS, None)
            return
        await self._app(scope, receive, send)

    async def _respond(
        self, scope: Scope, receive: Receive, send: Send, route: str, key: str | None
    ) -> None:
        try:
            if scope["method"] != "POST":
                raise HTTPException(405, "this path takes POST", {"allow": "POST"})
            status, body, headers = await self._answer(scope, receive, route, key)
        except Exception as error:
            status, body, headers = _refusal(error, route, key)
        self._counts.responses[route, status] += 1
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, receive: Receive, route: str, key: str | None) -> Answer:
        admitted = await admit(self._provider, self._limit, scope)
        environment_id = admitted.found.prepared.snapshot.environment_id
        is_stale = self._freshness.is_stale(environment_id)
        if not is_stale and auth.is_canonical(admitted.credential):
            self._memo.accept(admitted)  # before anything is waited for, which may change it
        context = self.context_of(await read_json(scope, receive, self._bounds.size))
        if scope["query_string"]:  # after an event, clients say here which one it was
            event = queries.parse(scope["query_string"]).get("flagConfigEtag")
            admitted = await caught_up(self._provider, admitted, event)
        accepted = joined(scope["headers"], b"accept-encoding")
        known = joined(scope["headers"], b"if-none-match")
        return self.answer(route, key, admitted, context, accepted, known)

    def context_of(self, body: bytes) -> dict[str, Any]:
        """For both lanes. Raises UnreadableError, ContextError, and HTTPException (413)."""
        if len(body) > self._bounds.size:
            raise HTTPException(413, f"the body has more than {self._bounds.size} bytes")
        return parse(body, self._bounds.depth)

    def answer(
        self,
        route: str,
        key: str | None,
        admitted: Admitted,
        context: Mapping[str, Any],
        accepted: bytes | None,
        known: bytes | None,
    ) -> Answer:
        """What both lanes say: `accepted` is the request's Accept-Encoding, `known` its
        If-None-Match. Raises HTTPException for a flag that is not there."""
        prepared, grant = admitted.found.prepared, admitted.grant
        if key is not None:
            evaluations = prepared.evaluations[grant.kind]
            if key not in evaluations:
                raise HTTPException(404, f"there is no flag {key!r}")
            result = evaluations.evaluate(key, context)
            evaluations.tally(result).number += 1
            if self._counts.evaluations.is_wanted:
                self._count(admitted, [result])
            status = 400 if result.error is ErrorCode.TARGETING_KEY_MISSING else 200
            return self._finished(status, evaluations.fragment(result), admitted)
        prepared.evaluations[grant.kind].bulk_tally.number += 1
        streams = self._announcements.of(prepared.snapshot, grant) if route == BULK else b""
        etag = context_answers.etag(route, prepared, grant.kind, context, streams)
        packs = accepted is not None and accepts_gzip(accepted)
        if known is not None and (matches(known, etag) or matches(known, packed(etag))):
            return self._finished(304, b"", admitted, etag)
        if self._counts.evaluations.is_wanted:
            self._count(admitted, prepared.evaluations[grant.kind].results(context))
        body = context_answers.body(route, prepared, grant.kind, context, streams)
        if packs and len(body) >= _LEAST_TO_COMPRESS:
            body = gzip.compress(body, compresslevel=1, mtime=0)
            more = [(b"content-encoding", b"gzip")]
            return self._finished(200, body, admitted, packed(etag), more)
        return self._finished(200, body, admitted, etag)

    def _count(self, admitted: Admitted, results: Iterable[Result]) -> None:
        environment_id = admitted.found.prepared.snapshot.environment_id
        self._counts.evaluations.add(environment_id, results)

    def _finished(
        self,
        status: int,
        body: bytes,
        admitted: Admitted,
        etag: bytes | None = None,
        more: list[Header] | None = None,
    ) -> Answer:
        snapshot = admitted.found.prepared.snapshot
        headers = [
            *_common(snapshot.revision, self._vary, admitted.found.source),
            *self._freshness.headers(snapshot.environment_id),
        ]
        if status != 304:
            headers.append((b"content-type", b"application/json"))
            headers.append((b"content-length", str(len(body)).encode()))
        if etag is not None:
            headers.append((b"etag", etag))
        return status, body, headers + (more or [])


@lru_cache(maxsize=1_024)
def _common(revision: int, vary: bytes, source: str) -> tuple[Header, ...]:
    return (
        (b"flagctl-revision", str(revision).encode()),
        (b"cache-control", b"private, no-cache"),
        (b"vary", vary),
        (b"x-cache", source.encode()),
    )


def _refusal(error: Exception, route: str, key: str | None) -> Answer:
    """Errors in OFREP's form for its paths, as problems for ours."""
    code = None
    if isinstance(error, UnreadableError | ContextError):
        code = "PARSE_ERROR" if isinstance(error, UnreadableError) else "INVALID_CONTEXT"
        status, (body, headers) = 400, problem(400, str(error), code="invalid_input")
    else:
        status, body, headers = problem_of(error)
    if route == FLAGS:
        return status, body, headers
    document: dict[str, Any] = {} if key is None else {"key": key}
    document |= {
        "errorCode": code or _CODES.get(status, "GENERAL"),
        "errorDetails": json.loads(body)["detail"],
        "reason": "ERROR",
        "variant": "",
    }
    body = json.dumps(document).encode()
    kept = [h for h in headers if h[0] not in (b"content-type", b"content-length")]
    kept += [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    return status, body, kept
