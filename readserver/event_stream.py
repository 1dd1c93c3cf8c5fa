"""One client's event stream: it holds the newest thing to say, and never more."""

import asyncio
from typing import Any, Final

from starlette.types import Send

from readserver.answers import Prepared
from readserver.stream_events import BEAT

_END: Final = b""


class EventStream:
    """Writes by itself, one message after the other. While a client does not read, what was to be
    said is replaced by what is newer; the protocol ends a client that never does."""

    __slots__ = (
        "_pending",
        "_send",
        "_start",
        "_writer",
        "ends_at",
        "environment_id",
        "is_ending",
        "is_waiting",
        "key",
        "known",
    )

    def __init__(
        self, send: Send, start: dict[str, Any], known: Prepared, *, key: bytes, ends_at: float
    ) -> None:
        """`start` is the answer's first message, `key` the digest of the API key; `ends_at` in
        seconds since 1970."""
        self._send = send
        self._start: dict[str, Any] | None = start
        self.known = known  # what the client was told of
        self.environment_id = known.snapshot.environment_id
        self.key = key
        self.ends_at = ends_at
        self.is_ending = False
        self.is_waiting = False  # to be told of a change
        self._pending: bytes | None = None
        self._writer: asyncio.Task[None] | None = None

    @property
    def is_behind(self) -> bool:
        """Whether something is being written: for longer than a moment, when nobody reads."""
        return self._writer is not None

    def say(self, text: bytes) -> None:
        """As soon as what is being written is."""
        if self.is_ending:
            return
        self._pending = text
        if self._writer is None:
            self._writer = asyncio.create_task(self._write())

    def beat(self) -> None:
        """Show that the connection is alive, unless something else does."""
        if self._writer is None:
            self.say(BEAT)

    def end(self) -> None:
        """The client is answered to the end; it comes back if it likes."""
        self.say(_END)
        self.is_ending = True

    async def _write(self) -> None:
        try:
            if self._start is not None:
                await self._send(self._start)
                self._start = None
            while (text := self._pending) is not None:
                self._pending = None
                await self._send(
                    {"type": "http.response.body", "body": text, "more_body": text != _END}
                )
        finally:
            self._writer = None
