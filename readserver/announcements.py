"""OFREP's `eventStreams`: where a client that got all flags hears that they changed."""

import json
import time
from collections.abc import Callable
from typing import Any, Final

from core.auth import stream_urls
from core.snapshot.document import KeyGrant, Snapshot
from readserver.answers import STREAM

_INACTIVITY_SECONDS: Final = 120  # after which a hidden page closes its stream
_MOST_REMEMBERED: Final = 10_000


class Announcements:
    """One for each key and half-day, finished once."""

    def __init__(self, public_url: str | None, clock: Callable[[], float] = time.time) -> None:
        """Without a `public_url` clients take the origin that they ask for flags already.

        `clock` gives seconds since 1970."""
        self._public_url = public_url
        self._clock = clock
        self._known: dict[tuple[bytes, str], tuple[int, bytes]] = {}

    def of(self, snapshot: Snapshot, grant: KeyGrant) -> bytes:
        """The member of a bulk answer, with the comma before it."""
        half_day = stream_urls.half_day_of(self._clock())
        key = (snapshot.auth.stream_secret, grant.id)
        known = self._known.get(key)
        if known is None or known[0] != half_day:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            known = self._known[key] = (half_day, self._made(snapshot, grant, half_day))
        return known[1]

    def _made(self, snapshot: Snapshot, grant: KeyGrant, half_day: int) -> bytes:
        token = stream_urls.token(
            snapshot.auth.stream_secret, snapshot.environment_id, grant.id, half_day
        )
        target = f"{STREAM}?token={token}"
        stream: dict[str, Any] = {"type": "sse", "inactivityDelaySec": _INACTIVITY_SECONDS}
        if self._public_url is not None:
            stream["url"] = self._public_url + target
        else:
            stream["endpoint"] = {"requestUri": target}
        return b',"eventStreams":' + json.dumps([stream], separators=(",", ":")).encode()
