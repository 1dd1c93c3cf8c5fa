"""`/v1/flags` and `/v1/configs`: everything the fast path does not decide."""

from typing import Final

from starlette.types import Scope, Send

from core.auth.api_keys import KeyKind
from core.errors import ForbiddenError, InvalidInputError
from core.names import check_environment_key
from core.snapshot.document import Snapshot
from readserver import auth, queries
from readserver.answers import Answer, Header, Variants, not_modified_headers, start
from readserver.conditional import accepts_gzip, matches
from readserver.errors import problem, problem_of
from readserver.fast_path import Memo, Remembered
from readserver.provider import Provider
from readserver.rate_limit import ClientLimit
from readserver.telemetry import Counts
from readserver.truth import Truth

_METHODS: Final = ("GET", "HEAD")


class ServedEndpoint:
    """The slow path. Unknown query parameters are passed over, as caches and proxies add some; a
    known one must be right."""

    def __init__(
        self, provider: Provider, truth: Truth, memo: Memo, counts: Counts, limit: ClientLimit
    ) -> None:
        self._provider = provider
        self._truth = truth
        self._memo = memo
        self._counts = counts
        self._limit = limit

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
        credential = auth.credential(headers)
        key = auth.parse(credential)
        found = await self._provider.get(key.environment_id)
        snapshot = found.prepared.snapshot if found is not None else None
        grant = auth.authenticate(key, snapshot)
        assert found is not None  # noqa: S101 - authenticate() refuses without a snapshot
        assert snapshot is not None  # noqa: S101
        limited = key.digest if grant.kind is KeyKind.CLIENT else None
        if limited is not None:
            self._limit.check(limited, scope)
        _check_environment(scope["query_string"], snapshot)
        variants = found.prepared.answers[path, grant.kind]
        stale = self._staleness()
        if not stale and auth.is_canonical(credential):
            queries_ = frozenset((b"", b"environment=" + snapshot.key.encode()))
            entry = Remembered(variants, auth.expires_at(grant), queries_, limited)
            self._memo.remember(path, credential, entry)
        answer = _negotiate(variants, headers)
        if _is_known(answer, headers):
            message = start(304, not_modified_headers(answer), found.source, *stale)
            return 304, b"", message["headers"]
        message = start(200, answer.headers, found.source, *stale)
        return 200, answer.body, message["headers"]

    def _staleness(self) -> tuple[Header, ...]:
        if not self._truth.is_stale:
            return ()
        age = str(int(self._truth.age_seconds)).encode()
        return ((b"age", age), (b"flagctl-stale", b"true"))


def _check_environment(query_string: bytes, snapshot: Snapshot) -> None:
    wanted = queries.parse(query_string).get("environment") if query_string else None
    if wanted is None or wanted == snapshot.key:
        return
    try:
        check_environment_key(wanted)
    except InvalidInputError as error:
        raise InvalidInputError(f"environment: {error.message}", hint=error.hint) from None
    raise ForbiddenError(
        f"this API key is not for the environment {wanted!r}",
        hint="a key belongs to one environment; leave `environment` out, or use its key",
    )


def _joined(headers: list[Header], wanted: bytes) -> bytes | None:
    """A field's lines as one list, as HTTP says; None when there is none."""
    values = [value for name, value in headers if name == wanted]
    return b",".join(values) if values else None


def _negotiate(variants: Variants, headers: list[Header]) -> Answer:
    accepted = _joined(headers, b"accept-encoding")
    if variants.gzip is not None and accepted is not None and accepts_gzip(accepted):
        return variants.gzip
    return variants.identity


def _is_known(answer: Answer, headers: list[Header]) -> bool:
    tags = _joined(headers, b"if-none-match")
    return tags is not None and matches(tags, answer.etag)
