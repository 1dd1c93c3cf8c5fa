"""Answers that depend on a context: their entity tags and bodies, each made in one place."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from core.auth.api_keys import KeyKind
from core.evaluation.context import Context
from readserver.answers import Prepared

BULK: Final = "/ofrep/v1/evaluate/flags"
_ENCODE: Final = json.JSONEncoder(sort_keys=True).encode  # json.dumps makes one for each call


def etag(
    route: str, prepared: Prepared, kind: KeyKind, context: Mapping[str, Any], streams: bytes
) -> bytes:
    """Of everything that decides the answer: the snapshot, the last timed change, what the key
    sees, the context, and the streams that a bulk answer announces (their address changes twice a
    day)."""
    snapshot = prepared.snapshot
    instant = prepared.since.isoformat() if prepared.since is not None else ""
    state = (route, snapshot.environment_id, snapshot.epoch, snapshot.stamp, instant, kind)
    said = "\0".join((*state, _ENCODE(context))).encode()
    digest = hashlib.sha256(said + streams).hexdigest()[:24]
    return f'"{snapshot.revision}-{digest}"'.encode()


def packed(tag: bytes) -> bytes:
    """The tag of the same answer compressed."""
    return tag[:-1] + b'-gzip"'


def body(route: str, prepared: Prepared, kind: KeyKind, context: Context, streams: bytes) -> bytes:
    """OFREP's answer for all flags, or the map of `/v1/flags`."""
    evaluations = prepared.evaluations[kind]
    return evaluations.bulk(context, streams) if route == BULK else evaluations.values(context)
