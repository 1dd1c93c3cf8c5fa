"""What is said on an event stream. One form for OFREP's clients and for others:

id: 57-5f2c9a41d07be386
event: message
data: {"type":"refetchEvaluation","etag":"57-5f2c9a41d07be386","revision":57}
"""

import hashlib
import json
import random
import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from core.snapshot.document import Version
from readserver.answers import Prepared

BEAT: Final = b":\n\n"
_RETRY_MILLISECONDS: Final = (1_000, 5_000)
_ID: Final = re.compile(r"([0-9]{1,18})-[0-9a-f]{16}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Event:
    """That an environment is at another revision; `text` is it as it is sent."""

    id: str
    text: bytes


def event_of(prepared: Prepared) -> Event:
    instant = prepared.since.isoformat() if prepared.since is not None else None
    return _event(prepared.snapshot.environment_id, prepared.snapshot.version, instant)


@lru_cache(maxsize=1_024)
def _event(environment_id: str, version: Version, instant: str | None) -> Event:
    # The digest: revisions of two epochs, and of two histories, are not the same; nor is one
    # before and after a timed change.
    state = json.dumps([environment_id, version.epoch, version.stamp, instant])
    digest = hashlib.sha256(state.encode()).hexdigest()[:16]
    id_ = f"{version.revision}-{digest}"
    data = {"type": "refetchEvaluation", "etag": id_, "revision": version.revision}
    said = json.dumps(data, separators=(",", ":"))
    return Event(id_, f"id: {id_}\nevent: message\ndata: {said}\n\n".encode())


def revision_in(id_: str) -> int | None:
    """The revision that an event's id, given back by a client, tells; None for any other text."""
    match = _ID.fullmatch(id_)
    return int(match[1]) if match is not None else None


def greeting(event: Event, known: str | None) -> bytes:
    """What a new stream hears: when to come back after it was lost, each client another time, so
    that they do not all come at once; and the event, unless the client knows it."""
    retry = random.randint(*_RETRY_MILLISECONDS)  # noqa: S311 - it only spreads
    return b"retry: %d\n\n" % retry + (BEAT if known == event.id else event.text)
