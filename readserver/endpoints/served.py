"""`/v1/flags`, `/v1/configs` and `/v1/snapshot`: everything the fast path does not decide."""

import asyncio
from functools import partial
from typing import Final

from starlette.types import Scope, Send

from core.auth.api_keys import KeyKind
from core.errors import ForbiddenError
from readserver import auth
from readserver.access import admit, joined
from readserver.answers import (
    SNAPSHOT,
    Answer,
    Header,
    Prepared,
    Variants,
    not_modified_headers,
    prepare_snapshot,
    start,
)
from readserver.conditional import accepts_gzip, matches
from readserver.errors import problem, problem_of
from readserver.fast_path import Memo, Remembered, queries_of
from readserver.freshness import Freshness
from readserver.provider import Provider
from readserver.rate_limit import ClientLimit
from readserver.telemetry import Counts

_METHODS: Final = ("GET", "HEAD")


class ServedEndpoint:
    """The slow path. Unknown query parameters are passed over, as caches and proxies add some; a
    known one must be right."""

    def __init__(
        self,
        provider: Provider,
        freshness: Freshness,
        memo: Memo,
        counts: Counts,
        limit: ClientLimit,
        vary: bytes,
    ) -> None:
        self._provider = provider
        self._freshness = freshness
        self._memo = memo
        self._counts = counts
        self._limit = limit
        self._vary = vary

    async def __call__(self, scope: Scope, send: Send) -> None:
        try:
            if scope["method"] not in _METHODS:
                body, headers = problem(405, "this path takes GET and HEAD")
                status, headers = 405, [*headers, (b"allow", b"GET, HEAD")]
            else:
                status, body, headers = await self._answer(scope)
        except Exception as error:
            status, body, headers = problem_of(error)
        self._counts.responses[scope["path"], status] += 1
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope) -> tuple[int, bytes, list[Header]]:
        path, headers = scope["path"], scope["headers"]
        admitted = await admit(self._provider, self._limit, scope)
        found, grant, credential = admitted.found, admitted.grant, admitted.credential
        changes = self._memo.changes
        if path == SNAPSHOT:
            variants = await self._snapshot(found.prepared, grant.kind)
        else:
            variants = found.prepared.answers[path, grant.kind]
        variants.tally.number += 1
        stale = self._freshness.headers(found.prepared.snapshot.environment_id)
        # A snapshot's answer is waited for, and may be an older one by now.
        if not stale and auth.is_canonical(credential) and changes == self._memo.changes:
            queries, expires_at = queries_of(admitted), auth.expires_at(grant)
            entry = Remembered(variants, expires_at, queries, admitted.limited)
            self._memo.remember(path, credential, entry)
        answer = _negotiate(variants, headers)
        if _is_known(answer, headers):
            message = start(304, not_modified_headers(answer), found.source, *stale)
            return 304, b"", message["headers"]
        message = start(200, answer.headers, found.source, *stale)
        return 200, answer.body, message["headers"]

    async def _snapshot(self, prepared: Prepared, kind: KeyKind) -> Variants:
        """It is counted as an answer with all flags: what is evaluated with it nobody says here."""
        if kind is not KeyKind.SERVER:
            raise ForbiddenError("this takes a server key", hint="a client key sees results alone")
        tally = prepared.evaluations[kind].bulk_tally
        return await prepared.whole.get(
            partial(asyncio.to_thread, prepare_snapshot, prepared.snapshot, tally, vary=self._vary)
        )


def _negotiate(variants: Variants, headers: list[Header]) -> Answer:
    accepted = joined(headers, b"accept-encoding")
    if variants.gzip is not None and accepted is not None and accepts_gzip(accepted):
        return variants.gzip
    return variants.identity


def _is_known(answer: Answer, headers: list[Header]) -> bool:
    tags = joined(headers, b"if-none-match")
    return tags is not None and matches(tags, answer.etag)
