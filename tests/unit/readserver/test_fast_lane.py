"""The fast lane on a transport that is made up: what it answers, and what it hands on."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from core import clock
from core.auth.api_keys import KeyKind
from core.evaluation.engine import Engine
from core.snapshot.document import KeyGrant, Served
from readserver import fast_lane, protocol
from readserver.access import Admitted
from readserver.announcements import Announcements
from readserver.answers import CONFIGS, FLAGS, prepare
from readserver.client_address import ClientAddresses
from readserver.context_answers import BULK
from readserver.contexts import Bounds
from readserver.endpoints.evaluate import EvaluateEndpoint
from readserver.fast_lane import FastProtocol, Head, Lane, fast, read_head
from readserver.fast_path import Memo, Remembered
from readserver.protocol import MOST_UNANSWERED, Timeouts
from readserver.provider import Found
from readserver.rate_limit import ClientLimit
from readserver.telemetry import Counts
from readserver.truth import Truth
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

    def __init__(self, limited: bytes | None = None, burst: float = 1, room: int = 10**9) -> None:
        self.memo, self.counts, self.state = Memo(), Counts(), ServerState()
        for evaluations in PREPARED.evaluations.values():
            evaluations.finished.clear()
        self.limit = ClientLimit(
            rate=1, burst=burst, addresses=ClientAddresses(()), clock=lambda: 0.0
        )
        truth = Truth()
        truth.is_reachable = True
        endpoint = EvaluateEndpoint(
            cast("Any", None),
            truth,
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
        self.protocol: FastProtocol = fast(self.lane, Timeouts())(config, self.state, {})
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


def test_no_scope_and_no_task() -> None:
    async def test() -> None:
        world = World()
        for request in (GET, ONE, GET.replace(b"flags", b"configs"), GET * 3 + ONE):
            assert world.ask(request) == request.count(b"HTTP/1.1")
        assert world.protocol.scope is None
        assert world.protocol.cycle is None
        assert not world.state.tasks
        assert world.state.total_requests == 7
        assert world.counts.all_responses() == {
            ("/ofrep/v1/evaluate/flags/{key}", 200): 2,
            ("/v1/flags", 200): 4,
            ("/v1/configs", 200): 1,
        }
        assert world.transport.written[1].endswith(b"}")
        assert b"x-cache: memory\r\n" in world.transport.written[1]

    on_loop(test)


def test_what_it_answers_is_counted() -> None:
    async def test() -> None:
        world, evaluations = World(), PREPARED.evaluations[KeyKind.SERVER]
        single, bulk = evaluations.tally(PROGRAM.decide({})), evaluations.bulk_tally
        before = single.number, bulk.number
        configs = GET.replace(b"flags", b"configs")
        for request in (ONE, ONE * 3, GET, GET * 2, KNOWN, configs, ONE):
            assert world.ask(request) == request.count(b"HTTP/1.1")
        assert (single.number - before[0], bulk.number - before[1]) == (5, 4)

    on_loop(test)


def test_the_date_is_uvicorns() -> None:
    async def test() -> None:
        world = World()
        for date in (b"today", b"tomorrow"):
            world.state.default_headers = [(b"date", date), (b"server", b"x")]
            world.ask(GET)
            start = b"HTTP/1.1 200 OK\r\ndate: " + date + b"\r\nserver: x\r\ncontent-type: "
            assert world.transport.written[-1].startswith(start)

    on_loop(test)


@pytest.mark.parametrize(
    "request_",
    [
        GET.replace(b"GET", b"HEAD"),
        GET.replace(b"1.1", b"1.0"),
        GET.replace(b": key", b": other"),
        GET.replace(b"/v1/flags", b"/v1/flags?environment=dev"),
        GET.replace(b"/v1/flags", b"/v1/snapshot"),
        GET.replace(b"Host: x", b"Connection: close"),
        GET.replace(b"Host: x", b"Content-Length: 0"),
        GET.replace(b"Host: x", b"Origin: https://x.example"),
        GET.replace(b"Host: x", b'If-None-Match: "x"'),
        GET.replace(b"Host: x", b"X-API-Key: key"),
        GET.replace(b"Host: x", b"X: " + b"x" * 5_000),
        GET.replace(b"Host: x", b"\r\n".join([b"X: x"] * 64)),
        GET[:-2],
        b"\r\n" + GET,
        POST + b"Content-Length: 3\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nContent-Type: text/plain\r\n\r\n{}",
        POST + b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n{}",
        POST + b"Content-Length: 2\r\n\r\n[]",
        POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        ONE.replace(b"dark_mode", b"nope"),
        ONE.replace(b"/dark_mode", b"/"),
        ONE.replace(b"dark_mode", b"dark%5Fmode"),
    ],
)
def test_the_rest_is_handed_on(request_: bytes) -> None:
    async def test() -> None:
        world = World()
        assert world.ask(request_) == 0
        assert world.protocol.scope is not None

    on_loop(test)


def test_what_follows_on_an_ordinary_request_waits_for_it() -> None:
    async def test() -> None:
        world = World()
        assert world.ask(GET + b"GET /x HTTP/1.1\r\n\r\n" + GET) == 1
        while len(world.handed_on) < 2:
            await asyncio.sleep(0)
        assert world.handed_on == ["/x", "/v1/flags"]
        while world.state.tasks:
            await asyncio.sleep(0)
        assert world.ask(GET) == 1

    on_loop(test)


def test_a_fault_of_ours_is_the_ordinary_paths_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        world = World()

        def fail(*_: Any) -> None:
            raise RuntimeError

        monkeypatch.setattr(EvaluateEndpoint, "answer", fail)
        assert world.ask(ONE) == 0
        assert world.protocol.scope is not None

    on_loop(test)


def test_a_change_and_an_expiry_hand_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        for request in (GET, ONE):
            world = World()
            assert [world.ask(request), world.ask(request)] == [1, 1]
            world.memo.forget()
            assert world.ask(request) == 0
        world = World()
        world.memo.forget()
        world.remember(expires_at=100.0)
        for now, answered in ((99.0, 1), (99.9, 1), (100.0, 0)):
            monkeypatch.setattr(fast_lane, "time", lambda now=now: now)
            assert world.ask(GET) == answered

    on_loop(test)


def test_equal_bytes_get_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        read: list[bytes] = []
        world, tally = World(), PREPARED.evaluations[KeyKind.SERVER].bulk_tally
        head = world.lane.head

        def noted(data: bytes) -> Head | None:
            read.append(data)
            return head(data)

        monkeypatch.setattr(world.lane, "head", noted)
        before, configs = tally.number, GET.replace(b"flags", b"configs")
        for request in (GET, KNOWN, configs):
            assert [world.ask(request) for _ in range(3)] == [1, 1, 1]
            first, *others = world.transport.written[-3:]
            assert others == [first, first]
        assert read == list(world.memo.repeats) == [GET, KNOWN, configs]
        assert tally.number - before == 6
        assert world.counts.all_responses() == {(FLAGS, 200): 3, (FLAGS, 304): 3, (CONFIGS, 200): 3}
        assert world.state.total_requests == 9
        assert dict(world.counts.requests.buckets())["+Inf"] == 9
        for answer in world.transport.written[3:6]:
            assert answer.startswith(b"HTTP/1.1 304 ")
            assert answer.endswith(b"\r\n\r\n")
            assert b"content-" not in answer

    on_loop(test)


@pytest.mark.parametrize("begun", [GET[:9], POST + b"Content-Length: %d\r\n\r\n" % len(GET)])
def test_known_bytes_that_go_on_with_another_request(begun: bytes) -> None:
    async def test() -> None:
        world = World()
        assert world.ask(GET) == 1
        assert world.ask(begun) == 0
        while world.state.tasks:  # answered before its body has come
            await asyncio.sleep(0)
        world.transport.written.clear()
        world.protocol.data_received(GET)
        assert not any(b"dark_mode" in written for written in world.transport.written)

    on_loop(test)


def test_known_bytes_wait_their_turn() -> None:
    async def test() -> None:
        world = World()
        world.ask(GET)
        world.ask(GET * 40)
        assert world.ask(GET) == 0, "behind what is held"
        world = World()
        world.ask(GET)
        world.may_answer.clear()
        world.ask(OTHER)
        assert world.ask(GET) == 0, "behind an ordinary request"
        world = World(room=1)
        assert [world.ask(GET), world.ask(GET)] == [1, 0], "until the peer reads"

    on_loop(test)


def test_time_is_by_request(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        world, clock = World(), iter(range(10))
        for module in (fast_lane, protocol):
            monkeypatch.setattr(module, "monotonic", lambda: float(next(clock)))
        for request, total in ((GET, 1), (GET, 2), (GET * 4, 3)):
            world.ask(request)
            assert world.counts.requests.total == total

    on_loop(test)


def test_what_differs_each_time_takes_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        world = World()
        monkeypatch.setattr(fast_lane, "_MOST_HEADS", 3)
        for number in range(10):
            assert world.ask(GET.replace(b"Host: x", b"Traceparent: %d" % number)) == 1
            assert 1 <= len(world.memo.repeats) <= 3

    on_loop(test)


def test_a_client_key_takes_one_for_each_answer_and_none_for_what_is_handed_on() -> None:
    async def test() -> None:
        world = World(limited=b"digest", burst=3)
        bad = POST + b"Content-Length: 2\r\n\r\n[]"
        for request in (GET.replace(b"Host: x", b'If-None-Match: "x"'), bad):
            assert world.ask(request) == 0
            while world.state.tasks:
                await asyncio.sleep(0)
        assert world.ask(ONE.replace(b"dark_mode", b"nope")) == 0
        while world.state.tasks:
            await asyncio.sleep(0)
        assert [world.ask(request) for request in (GET, ONE, GET, GET)] == [1, 1, 1, 0]
        assert not world.memo.repeats

    on_loop(test)


def test_other_connections_have_their_turn() -> None:
    async def test() -> None:
        world = World()
        assert world.ask(GET * 40 + b"GET /x") == MOST_UNANSWERED
        assert not world.transport.reads
        assert world.ask(b" HTTP/1.1\r\n\r\n") == 0
        while not world.handed_on:
            await asyncio.sleep(0)
        assert len([w for w in world.transport.written if b"dark_mode" in w]) == 40
        assert world.handed_on == ["/x"]
        assert world.transport.reads

    on_loop(test)


def test_it_waits_for_a_peer_that_does_not_read() -> None:
    async def test() -> None:
        world = World(room=1_000)
        answered = world.ask(GET * 10)
        assert 1 < answered < 10
        assert not world.transport.reads
        assert world.ask(GET) == 0
        world.transport.written.clear()
        world.transport.room = 10**9
        world.protocol.resume_writing()
        while len(world.transport.written) < 11 - answered:
            await asyncio.sleep(0)
        assert world.transport.reads
        assert world.protocol.cycle is None

    on_loop(test)


@pytest.mark.parametrize("request_", [GET, OTHER], ids=["the lane's", "ordinary"])
def test_an_idle_connection_is_closed_after_its_last_answer(request_: bytes) -> None:
    async def test() -> None:
        world = World()
        loop = asyncio.get_running_loop()
        for _ in range(3):
            world.ask(request_)
            await asyncio.sleep(KEEP_ALIVE / 2)
            assert world.transport.written
            assert not world.transport.is_closed
        answered_at = loop.time() - KEEP_ALIVE / 2
        while not world.transport.is_closed:
            await asyncio.sleep(0.001)
        assert loop.time() - answered_at >= KEEP_ALIVE * 0.9

    on_loop(test)


def test_an_answer_that_takes_longer_is_not_cut_off() -> None:
    async def test() -> None:
        world = World()
        world.ask(GET)  # sets the timer
        world.may_answer.clear()
        world.ask(OTHER)
        await asyncio.sleep(KEEP_ALIVE * 2)
        assert not world.transport.is_closed
        world.may_answer.set()
        while not world.transport.is_closed:
            await asyncio.sleep(0.001)
        assert world.transport.written[1].startswith(b"HTTP/1.1 200 ")

    on_loop(test)


def test_a_lost_connection_leaves_no_timer() -> None:
    async def test() -> None:
        for error in (None, ConnectionResetError()):
            world = World()
            world.ask(GET)
            timer = world.protocol.timeout_keep_alive_task
            assert timer is not None
            world.protocol.connection_lost(error)
            assert timer.cancelled()

    on_loop(test)


def test_a_shutdown_closes_what_waits_for_nothing() -> None:
    async def test() -> None:
        world = World()
        world.ask(GET)
        world.protocol.shutdown()
        assert world.transport.is_closed
        assert world.ask(GET) == 0

    on_loop(test)


def test_heads_of_strangers_are_not_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        world = World()
        monkeypatch.setattr(fast_lane, "_MOST_HEADS", 3)
        for number in range(10):
            world.ask(GET.replace(b"Host: x", b"Traceparent: %d" % number))
            assert len(world.lane._heads) <= 3
            assert world.lane.head(GET.replace(b": key", b": %d" % number)) is not None
        assert all(head.credential == b"key" for head in world.lane._heads.values())

    on_loop(test)


def test_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        with caplog.at_level(logging.DEBUG):
            World().ask(GET + ONE)

    on_loop(test)
    assert [record for record in caplog.records if record.name != "asyncio"] == []


def test_a_head_says_what_it_says() -> None:
    head = read_head(ONE[:-2].replace(b"X-API-Key", b"If-None-Match: a\r\nauthorization"))
    assert head is not None
    assert (head.route, head.key, head.length) == (f"{BULK}/{{key}}", "dark_mode", 2)
    assert (head.credential, head.known, head.accepted) == (b"key", b"a", None)
    assert read_head(GET + GET) is None
    assert read_head(GET[:-2]) is None
    assert read_head(ONE) is None
