"""HTTP/1.1 as uvicorn speaks it, with bounds on what a peer may leave unfinished or unread."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from readserver.answers import STREAM
from readserver.errors import problem
from readserver.write_watch import WriteWatch, keep_little

LARGEST_HEAD: Final = 65_536  # bytes: the request line with all headers; trailers likewise
TIMED_OUT: Final = "flagctl.timed_out"  # in a scope: the peer acknowledged nothing for too long
MOST_PIPELINED: Final = 100  # requests that wait for the answers before theirs
_PIECE: Final = LARGEST_HEAD // 2


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for a head to be complete; for a body, and for a peer to read what it is sent."""

    header: float = 10.0
    body: float = 30.0


def bounded(timeouts: Timeouts) -> "type[BoundedProtocol]":
    """The protocol with these time-outs: uvicorn takes a class and makes its objects itself."""

    class Bounded(BoundedProtocol):
        _timeouts = timeouts

    return Bounded


class BoundedProtocol(HttpToolsProtocol):
    """The parser keeps a head until it is complete, however long that takes and however large it
    is: here it gets 64 KB and its time. An idle connection is uvicorn's own time-out's."""

    _timeouts = Timeouts()
    _unfinished = 0  # bytes of the head (or the trailers) that is not complete yet
    _head_timer: asyncio.TimerHandle | None = None
    _body_timer: asyncio.TimerHandle | None = None
    _is_body_open = False  # of the request whose head came last
    _had_body = False
    _had_stream = False
    _writes: WriteWatch

    # What the transport says
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._writes = WriteWatch(transport, self._timeouts.body)
        self._head_timer = self._later(self._timeouts.header, self._expire_head)

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, TimeoutError) and self.cycle is not None:
            cast("dict[str, Any]", self.cycle.scope)[TIMED_OUT] = True
        self._stop_head_timer()
        self._stop_body_timer()
        self._writes.stop()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._unfinished + len(data) <= LARGEST_HEAD:
            self._feed(data)
            return
        while data and not self.transport.is_closing():
            room = min(LARGEST_HEAD - self._unfinished, _PIECE)
            if room <= 0:
                self._refuse(431, "the head of the request has more than 64 KB")
                return
            self._feed(data[:room])
            data = data[room:]

    def pause_writing(self) -> None:
        super().pause_writing()
        self._writes.start()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._writes.stop()

    # What the parser says
    def on_headers_complete(self) -> None:
        if self.transport.is_closing():
            return  # the rest of what was read before
        super().on_headers_complete()
        self._is_body_open = True
        if self.scope["path"] == STREAM and not self._had_stream:
            self._had_stream = True
            keep_little(self.transport, self._timeouts.body)
        if len(self.pipeline) > MOST_PIPELINED:
            self._close()

    def on_body(self, body: bytes) -> None:
        self._had_body = True
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_body_open = False
        self._stop_body_timer()
        if not self.transport.is_closing():
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    # What uvicorn does of itself
    def shutdown(self) -> None:
        if self._had_stream and self.flow.write_paused:
            self.transport.abort()  # the end of a stream would wait for a peer that does not read
        super().shutdown()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.transport.is_closing():
            self._writes.start()

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        self._writes.start()

    def _feed(self, data: bytes) -> None:
        scope, was_open, self._had_body = self.scope, self._is_head_open(), False
        super().data_received(data)
        is_new = self.scope is not scope
        if self._is_head_open():
            self._unfinished = len(data) if is_new else self._unfinished + len(data)
        elif is_new or was_open or self._had_body:
            self._unfinished = 0
        else:
            self._unfinished += len(data)
        if not self.transport.is_closing():
            self._set_timers()

    def _set_timers(self) -> None:
        """Bytes end uvicorn's time-out for idle connections, so whatever waits for more of them
        needs one of ours."""
        if not self._is_head_open() and self._is_body_open:
            self._stop_head_timer()
            if self._body_timer is None:
                self._body_timer = self._later(self._timeouts.body, self._expire_body)
        elif not self._is_head_open() and self._is_answering():
            self._stop_head_timer()  # the answer starts uvicorn's again
        elif self._head_timer is None:
            self._head_timer = self._later(self._timeouts.header, self._expire_head)

    def _is_head_open(self) -> bool:
        """Whether a request began that no answer is made for yet, or none ever did."""
        return self.cycle is None or self.cycle.scope is not self.scope

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _can_refuse(self) -> bool:
        """Whether an answer written now would be taken for the one to the request at fault."""
        if self._is_head_open():
            return not self._is_answering()
        return not self.pipeline and not self.cycle.response_started

    def _refuse(self, status: int, detail: str) -> None:
        if self._can_refuse() and not self.transport.is_closing():
            body, headers = problem(status, detail)
            lines = [b"%b: %b\r\n" % header for header in [*headers, (b"connection", b"close")]]
            self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))
        self._close()

    def _close(self) -> None:
        """What was answered is still sent; nothing else is."""
        self.pipeline.clear()
        if self._is_answering():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        self.transport.close()
        self._writes.start()

    def _expire_head(self) -> None:
        """Time is up; what is being answered is answered first, which is bounded elsewhere."""
        self._head_timer = None
        if self._is_answering():
            self._head_timer = self._later(self._timeouts.header, self._expire_head)
        else:
            self._close()

    def _expire_body(self) -> None:
        self._body_timer = None
        self._refuse(408, "the body did not come in time")

    def _later(self, seconds: float, act: Callable[[], None]) -> asyncio.TimerHandle:
        return self.loop.call_later(seconds, act)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_body_timer(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None
