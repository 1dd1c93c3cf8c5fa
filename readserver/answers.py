"""Finished HTTP answers, made once per snapshot: bytes and header lists, ready to be sent."""

import gzip
import hashlib
import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from core import clock, json_text
from core.auth.api_keys import KeyKind
from core.evaluation.engine import Engine
from core.evaluation.result import Result
from core.evaluation.ruleset import Ruleset
from core.snapshot.document import Config, Snapshot
from readserver.evaluations import Evaluations
from readserver.once import Once
from readserver.tallies import TalliesOf, Tally, uncounted

Header = tuple[bytes, bytes]
Message = dict[str, Any]

FLAGS: Final = "/v1/flags"
CONFIGS: Final = "/v1/configs"
SNAPSHOT: Final = "/v1/snapshot"
STREAM: Final = "/v1/stream"
SNAPSHOT_FORMAT: Final = 1
VARY: Final = b"Authorization, X-API-Key, Accept-Encoding"
_LEAST_TO_COMPRESS: Final = 1_024  # bytes
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """One body with its headers. The messages are sent as they are, by many requests at once:
    nobody changes them."""

    body: bytes
    etag: bytes
    headers: tuple[Header, ...]  # without X-Cache
    start: Message
    content: Message
    not_modified: Message
    lines: bytes  # the headers as they are sent, for the fast lane; without uvicorn's own
    not_modified_lines: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Variants:
    """The same answer plain and, where that pays, compressed; `tally` counts how often it was
    given, or was known already."""

    identity: Answer
    gzip: Answer | None
    tally: Tally


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """Every answer that a snapshot can give: by path and kind of key.

    All are of one instant, and hold from `since` (the last timed change before it) until right
    before `until` (the next one); None is without an end. `whole` is the answer of `/v1/snapshot`,
    which may be many megabytes: one for all who ask, gone with the others.
    """

    snapshot: Snapshot
    answers: Mapping[tuple[str, KeyKind], Variants]
    evaluations: Mapping[KeyKind, Evaluations]
    since: datetime | None = None
    until: datetime | None = None
    whole: Once[Variants] = field(default_factory=Once)

    def holds_at(self, moment: datetime) -> bool:
        """Also false when the clock went back behind a timed change."""
        return (self.since is None or self.since <= moment) and (
            self.until is None or moment < self.until
        )


def prepare(
    snapshot: Snapshot,
    at: datetime | None = None,
    *,
    vary: bytes = VARY,
    evaluations: type[Evaluations] = Evaluations,
    tallies_of: TalliesOf = uncounted,
) -> Prepared:
    """Compile, evaluate, render and compress. Takes a third of a second for 10,000 flags: not for
    the event loop.

    `at` is the instant that they are for, None for now. `vary` names the request's headers that an
    answer depends on. `tallies_of` gives what counts them."""
    engine = Engine(snapshot.served.flags, snapshot.served.segments, at=at or clock.now())
    results = engine.evaluate_all({})
    flags = [(f.client_visible, r) for f, r in zip(snapshot.served.flags, results, strict=True)]
    configs, tallies = snapshot.served.configs, tallies_of(snapshot.environment_id)
    bodies = {
        (FLAGS, KeyKind.SERVER): _flags(r for _, r in flags),
        (FLAGS, KeyKind.CLIENT): _flags(r for seen, r in flags if seen),
        (CONFIGS, KeyKind.SERVER): _configs(configs),
        (CONFIGS, KeyKind.CLIENT): _configs(c for c in configs if c.client_visible),
    }
    return Prepared(
        snapshot,
        {
            (path, kind): _variants(
                snapshot, body, vary, tallies.bulk[kind] if path == FLAGS else Tally()
            )
            for (path, kind), body in bodies.items()
        },
        {kind: evaluations(snapshot, engine, kind, tallies) for kind in KeyKind},
        since=engine.changed_at,
        until=engine.changes_at,
    )


def _flags(results: Iterable[Result]) -> bytes:
    return json_text.render({result.key: result.value for result in results}).encode()


def _configs(configs: Iterable[Config]) -> bytes:
    """Each value stands in the answer as Postgres printed it: not one digit is touched."""
    members = (f"{json.dumps(c.key, ensure_ascii=False)}:{c.text}" for c in configs)
    return ("{" + ",".join(members) + "}").encode()


def prepare_snapshot(snapshot: Snapshot, tally: Tally, *, vary: bytes) -> Variants:
    """The answer of `/v1/snapshot`: large, and few ask for it, so not part of `prepare`."""
    return _variants(snapshot, _served(snapshot), vary, tally)


def _served(snapshot: Snapshot) -> bytes:
    """What is served, with its rules, for evaluation in process. See docs/evaluation.md."""
    document: dict[str, Any] = {
        "format": SNAPSHOT_FORMAT,
        "environment": snapshot.key,
        "epoch": snapshot.epoch,
        "revision": snapshot.revision,
        "flags": {flag.key: _definition(flag) for flag in snapshot.served.flags},
        "segments": snapshot.served.segments,
    }
    configs = _configs(snapshot.served.configs)
    return json_text.render(document).encode()[:-1] + b',"configs":' + configs + b"}"


def _definition(flag: Ruleset) -> dict[str, Any]:
    return {
        "type": flag.type,
        "variants": flag.variants,
        "on_variant": flag.on_variant,
        "off_variant": flag.off_variant,
        "enabled": flag.enabled,
        "targeting": flag.targeting,
        "salt": flag.salt,
        "client_visible": flag.client_visible,
        "expires_at": None if flag.expires_at is None else flag.expires_at.isoformat(),
        "version": flag.version,
    }


def _variants(snapshot: Snapshot, body: bytes, vary: bytes, tally: Tally) -> Variants:
    digest = hashlib.sha256(body).hexdigest()[:32].encode()
    common = (
        (b"flagctl-revision", str(snapshot.revision).encode()),
        (b"cache-control", b"private, no-cache"),
        (b"vary", vary),
    )
    plain = _answer(body, ((b"etag", b'"' + digest + b'"'), *common))
    if len(body) < _LEAST_TO_COMPRESS:
        return Variants(plain, None, tally)
    packed = gzip.compress(body, compresslevel=6, mtime=0)
    # Another representation, so another tag: a strong one names bytes.
    tag = (b"etag", b'"' + digest + b'-gzip"')
    compressed = _answer(packed, (tag, *common), (b"content-encoding", b"gzip"))
    return Variants(plain, compressed, tally)


def _answer(body: bytes, common: tuple[Header, ...], *encoding: Header) -> Answer:
    """`common` begins with the entity tag; a 304 has these headers only."""
    headers: tuple[Header, ...] = (
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        *encoding,
        *common,
    )
    found, not_modified = start(200, headers, "memory"), start(304, common, "memory")
    return Answer(
        body=body,
        etag=common[0][1],
        headers=headers,
        start=found,
        content={"type": "http.response.body", "body": body},
        not_modified=not_modified,
        lines=rendered(found["headers"]) + b"\r\n",
        not_modified_lines=rendered(not_modified["headers"]) + b"\r\n",
    )


def rendered(headers: Iterable[Header]) -> bytes:
    """As uvicorn sends them."""
    return b"\r\n".join(map(b": ".join, headers)) + b"\r\n"


def start(status: int, headers: Iterable[Header], source: str, *more: Header) -> Message:
    """The first message of an answer; `source` is memory, redis or database."""
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [*headers, (b"x-cache", source.encode()), *more],
    }


def not_modified_headers(answer: Answer) -> tuple[Header, ...]:
    """What of an answer's headers a 304 repeats."""
    return tuple(h for h in answer.headers if not h[0].startswith(b"content-"))
