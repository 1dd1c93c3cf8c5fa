"""HTTP/1.1 as uvicorn speaks it, with bounds on what a peer may leave unfinished or unread."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, cast

from uvicorn._types import ASGI3Application
from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from readserver.answers import STREAM
from readserver.errors import problem
from readserver.write_watch import WriteWatch, keep_little

LARGEST_HEAD: Final = 65_536  # bytes: the request line with all headers; trailers likewise
TIMED_OUT: Final = "flagctl.timed_out"  # in a scope: the peer acknowledged nothing for too long
MOST_UNANSWERED: Final = 16  # requests of one connection; what comes after them is not read
MOST_CONNECTIONS: Final = 20_000
HEAD_END: Final = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Seconds for a head to be complete; for a body, and for a peer to read what it is sent."""

    header: float = 10.0
    body: float = 30.0


def bounded(
    timeouts: Timeouts,
    most_connections: int = MOST_CONNECTIONS,
    largest_head: int = LARGEST_HEAD,
) -> "type[BoundedProtocol]":
    """The protocol with these bounds: uvicorn takes a class and makes its objects itself."""

    class Bounded(BoundedProtocol):
        _timeouts = timeouts
        _most_connections = most_connections
        _largest_head = largest_head

    return Bounded


class _Flow(FlowControl):
    """Reads no more while something read is held back, or while answers wait to be sent: uvicorn
    alone would go on as soon as any one answer is made."""

    is_holding = False

    def resume_reading(self) -> None:
        if self.read_paused and not self.is_holding and not self.write_paused:
            super().resume_reading()


class BoundedProtocol(HttpToolsProtocol):
    """The parser keeps a head until it is complete, however long that takes and however large it
    is: here it gets its bounds. An idle connection is uvicorn's own time-out's."""

    # Up to thirty attributes of an object Python keeps in a form that it finds fast. uvicorn has
    # 28: ours stay apart.
    __slots__ = (
        "_answered_at",
        "_at_work",
        "_body_timer",
        "_fault",
        "_had_stream",
        "_head_timer",
        "_held",
        "_is_body_open",
        "_last_body",
        "_unfinished",
        "_writes",
    )
    _timeouts = Timeouts()
    _most_connections = MOST_CONNECTIONS
    _largest_head = LARGEST_HEAD
    flow: _Flow

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._answered_at = 0.0  # by the monotonic clock
        self._at_work: RequestResponseCycle | None = None  # uvicorn's `cycle` came last
        self._fault: tuple[int, str] | None = None  # what ends it, once all before is answered
        self._held = b""  # what was read, and has to wait until there is room for its answers
        self._unfinished = 0  # bytes of the head (or the trailers) that is not complete yet
        self._head_timer: asyncio.TimerHandle | None = None
        self._body_timer: asyncio.TimerHandle | None = None
        self._is_body_open = False  # of the request whose head came last
        self._last_body = 0  # bytes of the last piece of a body in what was fed last
        self._had_stream = False

    # What the transport says
    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = _Flow(transport)
        self._writes = WriteWatch(transport, self._timeouts.body)
        self._head_timer = self._later(self._timeouts.header, self._expire_head)
        if len(self.connections) > self._most_connections:
            self._refuse(503, "there are too many connections")

    def connection_lost(self, exc: Exception | None) -> None:
        if isinstance(exc, TimeoutError) and self._at_work is not None:
            cast("dict[str, Any]", self._at_work.scope)[TIMED_OUT] = True
        self._stop_head_timer()
        self._stop_body_timer()
        if self.timeout_keep_alive_task is not None:
            self.timeout_keep_alive_task.cancel()
        self._writes.stop()
        self._held = b""
        self.pipeline.clear()
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """A read has up to 256 KB: hundreds of requests, of which the parser gets as many as may
        wait for an answer."""
        if self._fault is not None:
            return
        waiting = len(self.pipeline)
        if self._held or self.flow.write_paused or waiting >= MOST_UNANSWERED:
            self._hold(data)
            return
        if waiting + data.count(HEAD_END) <= MOST_UNANSWERED:
            self._take(data)
            return
        start = 0
        while start < len(data) and self._fault is None and not self.transport.is_closing():
            if self.flow.write_paused or len(self.pipeline) >= MOST_UNANSWERED:
                self._hold(data[start:])
                return
            end = data.find(HEAD_END, start) + len(HEAD_END)
            if end < len(HEAD_END):
                end = len(data)
            self._take(data[start:end])
            start = end

    def _take(self, data: bytes) -> None:
        if self._unfinished + len(data) <= self._largest_head:
            self._feed(data)
            return
        while data and self._fault is None and not self.transport.is_closing():
            room = self._largest_head - self._unfinished
            if room <= 0:
                largest = self._largest_head
                self._refuse(431, f"the head of the request has more than {largest} bytes")
                return
            self._feed(data[:room])
            data = data[room:]

    def pause_writing(self) -> None:
        super().pause_writing()
        self.flow.pause_reading()
        self._writes.start()

    def resume_writing(self) -> None:
        super().resume_writing()
        if not self.transport.is_closing():
            self._writes.stop()
            self.loop.call_soon(self._go_on)  # not now: a write may be what calls this

    # What the parser says
    def on_headers_complete(self) -> None:
        if self.transport.is_closing():
            return  # the rest of what was read before
        HttpToolsProtocol.on_headers_complete(self)  # as super(), which costs as much again
        self._is_body_open = True
        if self.scope["path"] == STREAM and not self._had_stream:
            self._had_stream = True
            keep_little(self.transport, self._timeouts.body)

    def on_body(self, body: bytes) -> None:
        self._last_body = len(body)
        if not self.transport.is_closing():
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._is_body_open = False
        if self._body_timer is not None:
            self._stop_body_timer()
        if not self.transport.is_closing():
            HttpToolsProtocol.on_message_complete(self)

    def send_400_response(self, msg: str) -> None:
        self._refuse(400, msg)

    # What uvicorn does of itself
    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._at_work = cycle
        HttpToolsProtocol._start_asgi_task(self, cycle, app)

    def shutdown(self) -> None:
        if self._had_stream and self.flow.write_paused:
            self.transport.abort()  # the end of a stream would wait for a peer that does not read
        super().shutdown()

    def on_response_complete(self) -> None:
        self._count(1)
        if self.transport.is_closing():
            self._writes.start()
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        elif self._fault is not None:
            self._say(*self._fault)
            self._close()
            return
        if self._held and len(self.pipeline) <= MOST_UNANSWERED // 2:
            self.loop.call_soon(self._go_on)

    def _count(self, answered: int) -> None:
        self.server_state.total_requests += answered
        self._answered_at = monotonic()
        if self.timeout_keep_alive_task is None and not self.transport.is_closing():
            self._wait_idle(self.timeout_keep_alive)

    def _unset_keepalive_if_required(self) -> None:
        """The timer of an idle connection is not set anew each time: when it is up, it looks for
        how long that is."""

    def _wait_idle(self, seconds: float) -> None:
        self.timeout_keep_alive_task = self._later(seconds, self.timeout_keep_alive_handler)

    def timeout_keep_alive_handler(self) -> None:
        if self.transport.is_closing():
            return
        left = self._answered_at + self.timeout_keep_alive - monotonic()
        if self._is_answering() or self._held or self._head_timer or self._body_timer:
            left = self.timeout_keep_alive  # something else bounds what is begun
        if left > 0:
            self._wait_idle(left)
        else:
            super().timeout_keep_alive_handler()
            self._writes.start()

    def _hold(self, data: bytes) -> None:
        self._held += data
        self.flow.is_holding = True
        self.flow.pause_reading()

    def _go_on(self) -> None:
        """With what is held, as far as there is room now; then with reading."""
        if self.transport.is_closing():
            return
        held, self._held = self._held, b""
        self.flow.is_holding = False
        if held:
            self.data_received(held)
        if not self._held and not self.pipeline:
            self.flow.resume_reading()

    def _feed(self, data: bytes) -> None:
        scope, was_open, self._last_body = self.scope, self._is_head_open(), 0
        HttpToolsProtocol.data_received(self, data)
        is_new, is_open = self.scope is not scope, self._is_head_open()
        if is_open:
            self._unfinished = self._begun(data) if is_new else self._unfinished + len(data)
        elif is_new or was_open or self._last_body:
            self._unfinished = 0
        else:
            self._unfinished += len(data)
        is_whole = not is_open and not self._is_body_open and not self.cycle.response_complete
        if is_whole and self._head_timer is None:
            return  # the usual case
        if not self.transport.is_closing():
            self._set_timers(is_open=is_open)

    def _begun(self, data: bytes) -> int:
        """Bytes of the head that begins in it: what comes after the last end of a head, and after
        the body that follows on that; a chunked one ends like a head. An empty line in a body or
        behind it may hide some: half of the largest head at most."""
        size = len(data.rpartition(HEAD_END)[2])
        if self._last_body and int(dict(self.cycle.scope["headers"]).get(b"content-length", 0)):
            size -= self._last_body
        return max(0, size)

    def _set_timers(self, *, is_open: bool) -> None:
        """Bytes end uvicorn's time-out for idle connections, so whatever waits for more of them
        needs one of ours."""
        if not is_open and self._is_body_open:
            self._stop_head_timer()
            if self._body_timer is None:
                self._body_timer = self._later(self._timeouts.body, self._expire_body)
        elif not is_open and self._is_answering():
            self._stop_head_timer()  # the answer starts uvicorn's again
        elif self._head_timer is None:
            self._head_timer = self._later(self._timeouts.header, self._expire_head)

    def _is_head_open(self) -> bool:
        """Whether a request began that no answer is made for yet, or none ever did."""
        return self.cycle is None or self.cycle.scope is not self.scope

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _refuse(self, status: int, detail: str) -> None:
        """Whatever came before the fault is answered first: an answer written now would be taken
        for the one to that."""
        if self.transport.is_closing():
            return
        is_head_open, is_answering = self._is_head_open(), self._is_answering()
        if is_head_open and is_answering:
            self._fault = status, detail
        elif not is_head_open and self.pipeline:
            self.pipeline.popleft()  # the one at fault, which nobody has begun with
            self._fault = status, detail
        else:
            if is_head_open or not self.cycle.response_started:
                self._say(status, detail)
            self._close()

    def _say(self, status: int, detail: str) -> None:
        body, headers = problem(status, detail)
        lines = [b"%b: %b\r\n" % header for header in [*headers, (b"connection", b"close")]]
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", body]))

    def _close(self) -> None:
        """What was answered is still sent; nothing else is."""
        self._held = b""
        self.pipeline.clear()
        self._leave()
        self.transport.close()
        self._writes.start()

    def _leave(self) -> None:
        """Tell what is at work that nobody listens any more; uvicorn tells the request that came
        last, which may wait behind a stream."""
        cycle = self._at_work
        if cycle is not None and not cycle.response_complete:
            cycle.disconnected = True
            cycle.message_event.set()

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
