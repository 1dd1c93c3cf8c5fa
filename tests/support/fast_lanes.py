"""A connection to the fast lane on a transport that is made up."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import uvicorn
from uvicorn.server import ServerState

from core import clock
from core.auth.api_keys import KeyKind
from core.evaluation.engine import Engine
from core.snapshot.document import KeyGrant, Served
from readserver.access import Admitted
from readserver.announcements import Announcements
from readserver.answers import CONFIGS, FLAGS, prepare
from readserver.client_address import ClientAddresses
from readserver.contexts import Bounds
from readserver.endpoints.evaluate import EvaluateEndpoint
from readserver.fast_lane import FastProtocol, Lane, fast
from readserver.fast_path import Memo, Remembered
from readserver.protocol import Timeouts
from readserver.provider import Found
from readserver.rate_limit import ClientLimit
from readserver.telemetry import Counts
from tests.support.providers import always_fresh
from tests.support.snapshots import flag, snapshot

PREPARED = prepare(
    snapshot(served=Served((flag("dark_mode", client_visible=True), flag("hidden")), ()))
)
PROGRAM = Engine(PREPARED.snapshot.served.flags, at=clock.now()).programs["dark_mode"]
GET = b"GET /v1/flags HTTP/1.1\r\nHost: x\r\nAuthorization: key\r\n\r\n"
POST = b"POST /ofrep/v1/evaluate/flags/dark_mode HTTP/1.1\r\nX-API-Key: key\r\n"
OTHER = GET.replace(b"flags", b"other")
ETAG = PREPARED.answers[FLAGS, KeyKind.SERVER].identity.etag
KNOWN = GET[:-2] + b"If-None-Match: " + ETAG + b"\r\n\r\n"
ONE = POST + b"Content-Length: 2\r\n\r\n{}"
KEEP_ALIVE = 0.05


class Transport(asyncio.Transport):
    """Keeps what is written; above `room` bytes of it the protocol is told to stop."""

    def __init__(self, room: int) -> None:
        super().__init__({"peername": ("192.0.2.1", 4711)})
        self.protocol: Any = None
        self.written: list[bytes] = []
        self.room = room
        self.reads = True
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))
        if self.get_write_buffer_size() > self.room:
            self.protocol.pause_writing()

    def get_write_buffer_size(self) -> int:
        return sum(map(len, self.written))

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


class World:
    """A connection to a lane that knows the credential `key`."""

    def __init__(
        self,
        limited: bytes | None = None,
        burst: float = 1,
        room: int = 10**9,
        turn_seconds: float = float("inf"),
    ) -> None:
        self.memo, self.counts, self.state = Memo(), Counts(), ServerState()
        for evaluations in PREPARED.evaluations.values():
            evaluations.finished.clear()
        self.limit = ClientLimit(
            rate=1, burst=burst, addresses=ClientAddresses(()), clock=lambda: 0.0
        )
        endpoint = EvaluateEndpoint(
            cast("Any", None),
            always_fresh(),
            self.memo,
            self.counts,
            self.limit,
            Announcements(None),
            self._app,
            b"X",
            Bounds(size=2_048),
        )
        self.lane = Lane(self.memo, endpoint, self.counts, self.limit)
        self.handed_on: list[str] = []
        self.may_answer = asyncio.Event()
        self.may_answer.set()
        config = uvicorn.Config(
            self._app,
            interface="asgi3",
            lifespan="off",
            log_config=None,
            timeout_keep_alive=cast("int", KEEP_ALIVE),
        )
        protocol = fast(self.lane, Timeouts(), turn_seconds=turn_seconds)
        self.protocol: FastProtocol = protocol(config, self.state, {})
        self.transport = self.protocol.transport = Transport(room)
        self.transport.protocol = self.protocol
        self.protocol.connection_made(self.transport)
        self.remember(limited)

    def remember(self, limited: bytes | None = None, expires_at: float = float("inf")) -> None:
        queries = frozenset((b"", b"environment=prod"))
        for path in (FLAGS, CONFIGS):
            variants = PREPARED.answers[path, KeyKind.SERVER]
            self.memo.remember(path, b"key", Remembered(variants, expires_at, queries, limited))
        kind = KeyKind.CLIENT if limited is not None else KeyKind.SERVER
        grant = KeyGrant("a", kind, None)
        self.memo.accept(Admitted(Found(PREPARED, "database"), grant, limited or b"digest", b"key"))

    async def _app(self, scope: Any, _receive: Any, send: Any) -> None:
        self.handed_on.append(scope["path"])
        await self.may_answer.wait()
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def ask(self, data: bytes) -> int:
        """How many requests of it the lane answered at once."""
        before = len(self.transport.written)
        self.protocol.data_received(data)
        return len(self.transport.written) - before


def on_loop(test: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        async with asyncio.timeout(5):
            await test()

    asyncio.run(run())
