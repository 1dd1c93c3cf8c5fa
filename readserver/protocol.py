"""HTTP/1.1 as uvicorn speaks it, with bounds on what a peer may leave unfinished."""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from readserver.errors import problem

LARGEST_HEAD: Final = 65_536  # bytes: the request line with all headers; trailers likewise
HEAD_SECONDS: Final = 10.0
_PIECE: Final = LARGEST_HEAD // 2


class BoundedProtocol(HttpToolsProtocol):
    """The parser keeps a head until it is complete, however long that takes and however large it
    is: here it gets 64 KB and ten seconds. An idle connection is uvicorn's own time-out's."""

    _unfinished = 0  # bytes of the head (or the trailers) that is not complete yet
    _timer: asyncio.TimerHandle | None = None
    _had_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._timer = self.loop.call_later(HEAD_SECONDS, self._expire)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._unfinished + len(data) <= LARGEST_HEAD:
            self._feed(data)
            return
        while data and not self.transport.is_closing():
            room = min(LARGEST_HEAD - self._unfinished, _PIECE)
            if room <= 0:
                self._refuse()
                return
            self._feed(data[:room])
            data = data[room:]

    def on_body(self, body: bytes) -> None:
        self._had_body = True
        super().on_body(body)

    def _feed(self, data: bytes) -> None:
        scope, was_open, self._had_body = self.scope, self._is_head_open(), False
        super().data_received(data)
        is_new = self.scope is not scope
        if self._is_head_open():
            self._unfinished = len(data) if is_new else self._unfinished + len(data)
        elif is_new or was_open or self._had_body:
            self._unfinished = 0
            if not self.cycle.response_complete:
                self._stop_timer()
                return
        else:
            self._unfinished += len(data)
        # Bytes end uvicorn's time-out for idle connections, and no answer will start it again.
        if self._timer is None:
            self._timer = self.loop.call_later(HEAD_SECONDS, self._expire)

    def _is_head_open(self) -> bool:
        """Whether a request began that no answer is made for yet, or none ever did."""
        return self.cycle is None or self.cycle.scope is not self.scope

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self) -> None:
        if self._is_head_open() and not self._is_answering():
            body, headers = problem(431, "the head of the request has more than 64 KB")
            lines = [b"%b: %b\r\n" % header for header in [*headers, (b"connection", b"close")]]
            self.transport.write(b"".join([STATUS_LINE[431], *lines, b"\r\n", body]))
        self.transport.close()

    def _expire(self) -> None:
        """Time is up; what is being answered is answered first, which is bounded elsewhere."""
        self._timer = None
        if self._is_answering():
            self._timer = self.loop.call_later(HEAD_SECONDS, self._expire)
        else:
            self.transport.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
