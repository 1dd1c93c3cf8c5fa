"""What a peer may leave unfinished or unread, over real sockets and uvicorn's real parser."""

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from readserver.protocol import (
    LARGEST_HEAD,
    MOST_CONNECTIONS,
    MOST_UNANSWERED,
    Timeouts,
    bounded,
)

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Peer]]
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = REQUEST + b"Transfer-Encoding: chunked\r\n\r\n"

SHORT_HEAD = Timeouts(header=0.05)
SHORT_BODY = Timeouts(body=0.05)


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


def serving(
    test: Callable[[Connect], Awaitable[None]],
    timeouts: Timeouts = Timeouts(),  # noqa: B008 - it is frozen
    app: Any = app,
    most_connections: int = MOST_CONNECTIONS,
    made: set[Any] | None = None,
) -> None:
    """Run a test that gets a function to connect with. At the end no connection is left.

    `made` becomes the set of protocols that are connected."""

    async def run() -> None:
        config = uvicorn.Config(app, lifespan="off", log_config=None)
        state = ServerState()
        state.connections = made if made is not None else set()
        protocol = bounded(timeouts, most_connections)
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: protocol(config, state, {}), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        peers: list[Peer] = []

        async def connect() -> Peer:
            peers.append(await asyncio.open_connection("127.0.0.1", port))
            return peers[-1]

        async with server, asyncio.timeout(10):
            try:
                await test(connect)
            finally:
                for _, writer in peers:
                    writer.close()
                    with suppress(ConnectionError):
                        await writer.wait_closed()
                while state.connections:
                    await asyncio.sleep(0)

    asyncio.run(run())


async def answer(peer: Peer) -> bytes:
    return await peer[0].readuntil(b"ok")


def padded(size: int) -> bytes:
    """A whole head of so many bytes."""
    return REQUEST + b"X: " + b"a" * (size - len(REQUEST) - 7) + b"\r\n\r\n"


def test_a_head_has_64_kb_at_most() -> None:
    async def test(connect: Connect) -> None:
        peer = await connect()
        for size in (LARGEST_HEAD, 100, LARGEST_HEAD):
            peer[1].write(padded(size))
            assert b" 200 " in await answer(peer)
        peer[1].write(padded(LARGEST_HEAD + 1))
        assert (await peer[0].read()).startswith(b"HTTP/1.1 431 ")

    serving(test)


@pytest.mark.parametrize(
    ("before", "answers"),
    [
        (padded(1_000) * 8, 8),
        (REQUEST + b"Content-Length: 60000\r\n\r\n" + b"a" * 60_000, 1),
        (CHUNKED + b"ea60\r\n" + b"a" * 60_000 + b"\r\n0\r\n\r\n", 1),
    ],
    ids=["heads", "a body", "a chunked body"],
)
def test_what_was_read_before_a_head_does_not_count(before: bytes, answers: int) -> None:
    async def test(connect: Connect) -> None:
        peer, head = await connect(), padded(LARGEST_HEAD)
        peer[1].write(before + head[:9])
        for _ in range(answers):
            assert b" 200 " in await answer(peer)
        peer[1].write(head[9:])
        assert b" 200 " in await answer(peer)

    serving(test)


def test_a_body_may_be_larger_but_trailers_may_not() -> None:
    async def test(connect: Connect) -> None:
        peer = await connect()
        peer[1].write(CHUNKED + b"10000\r\n" + b"a" * 0x10000 + b"\r\n0\r\n\r\n" + padded(100))
        assert b" 200 " in await answer(peer)
        assert b" 200 " in await answer(peer)
        peer[1].write(CHUNKED)
        assert b" 200 " in await answer(peer)
        peer[1].write(b"0\r\nX: " + b"a" * LARGEST_HEAD)
        assert await peer[0].read() == b""

    serving(test)


def test_what_is_unfinished_is_closed_and_what_is_idle_is_not() -> None:
    async def test(connect: Connect) -> None:
        idle, silent, begun, again = [await connect() for _ in range(4)]
        begun[1].write(REQUEST)
        for peer in (idle, again):
            peer[1].write(padded(100))
            assert b" 200 " in await answer(peer)
        again[1].write(REQUEST)
        for peer in (silent, begun, again):
            assert await peer[0].read() == b""
        idle[1].write(padded(100))
        assert b" 200 " in await answer(idle)

    serving(test, SHORT_HEAD)


async def drip(peer: Peer, piece: bytes) -> bytes:
    """Send a piece now and then until the server has closed; what it said."""

    async def send() -> None:
        with suppress(ConnectionError):
            while True:
                peer[1].write(piece)
                await peer[1].drain()
                await asyncio.sleep(0.005)

    sending = asyncio.create_task(send())
    try:
        return await peer[0].read()
    except ConnectionError:
        return b""
    finally:
        sending.cancel()


@pytest.mark.parametrize("begun", [b"", b"G", REQUEST, CHUNKED + b"1\r\n"])
def test_half_a_request_and_no_more(begun: bytes) -> None:
    async def test(connect: Connect) -> None:
        peer = await connect()
        peer[1].write(begun)
        peer[1].write_eof()
        assert (await peer[0].read()).count(b"HTTP/1.1") <= 1

    serving(test, app=reading_app)


@pytest.mark.parametrize("line", [b"X: y\r\n", b"X:\r\n", b"Authorization: k\r\n"])
def test_a_head_of_many_lines(line: bytes) -> None:
    async def test(connect: Connect) -> None:
        peer = await connect()
        peer[1].write(REQUEST + line * 100_000)
        with suppress(ConnectionError):
            assert (await peer[0].read()).startswith(b"HTTP/1.1 431 ")

    serving(test)


@pytest.mark.parametrize("piece", [b"a", b"\r\nX: y", b" "])
def test_slow_heads(piece: bytes) -> None:
    async def test(connect: Connect) -> None:
        peer = await connect()
        peer[1].write(REQUEST + b"X: ")
        assert await drip(peer, piece) == b""

    serving(test, SHORT_HEAD)


async def reading_app(_scope: Any, receive: Any, send: Any) -> None:
    """Answers when it has the whole body; ends when there will be none."""
    while (message := await receive())["type"] == "http.request" and message["more_body"]:
        pass
    if message["type"] == "http.request":
        await app(_scope, receive, send)


BODIES = [
    (REQUEST + b"Content-Length: 100000\r\n\r\n", b"a"),
    (CHUNKED, b"1\r\na\r\n"),
    (CHUNKED + b"fffff\r\n", b"a"),
]


@pytest.mark.parametrize(("head", "piece"), BODIES)
def test_slow_bodies(head: bytes, piece: bytes) -> None:
    """One that is waited for is answered with 408; one that nobody reads was answered before."""

    async def waited_for(connect: Connect) -> None:
        peer = await connect()
        peer[1].write(head)
        said = await drip(peer, piece)
        assert said == b"" or said.startswith(b"HTTP/1.1 408 ")

    async def passed_over(connect: Connect) -> None:
        peer = await connect()
        peer[1].write(head)
        assert (await drip(peer, piece)).count(b"HTTP/1.1") <= 1

    serving(waited_for, SHORT_BODY, reading_app)
    serving(passed_over, SHORT_BODY)


@pytest.mark.parametrize("head", [head for head, _ in BODIES])
def test_bodies_that_do_not_come(head: bytes) -> None:
    async def waited_for(connect: Connect) -> None:
        peer = await connect()
        peer[1].write(head)
        said = await peer[0].read()
        assert said.startswith(b"HTTP/1.1 408 ")
        assert b"application/problem+json" in said
        assert said.count(b"HTTP/1.1") == 1

    async def passed_over(connect: Connect) -> None:
        peer = await connect()
        peer[1].write(head)
        said = await peer[0].read()
        assert said.startswith(b"HTTP/1.1 200 ")
        assert said.count(b"HTTP/1.1") == 1

    serving(waited_for, SHORT_BODY, reading_app)
    serving(passed_over, SHORT_BODY)


def test_a_body_in_time_is_no_trouble() -> None:
    async def test(connect: Connect) -> None:
        peer = await connect()
        for _ in range(3):
            peer[1].write(REQUEST + b"Content-Length: 4\r\n\r\nab")
            peer[1].write(b"cd" + CHUNKED + b"1\r\na\r\n0\r\n\r\n")
            assert b" 200 " in await answer(peer)
            assert b" 200 " in await answer(peer)

    serving(test, app=reading_app)


@pytest.mark.parametrize(
    "request_",
    [
        b"\x00\x01\x02\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00",
        REQUEST + b"X\r\n\r\n",
        REQUEST + b": y\r\n\r\n",
        REQUEST + b"X y: z\r\n\r\n",
        REQUEST + b"X: a\x00b\r\n\r\n",
        REQUEST + b"Content-Length: -1\r\n\r\n",
        REQUEST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n",
        REQUEST + b"Content-Length: 99999999999999999999999\r\n\r\n",
        REQUEST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        CHUNKED + b"xyz\r\n",
        CHUNKED + b"-1\r\n",
        CHUNKED + b"fffffffffffffffffffff\r\n",
        CHUNKED + b"1\r\nab\r\n",
    ],
)
def test_what_is_no_http_is_refused_once(request_: bytes) -> None:
    async def test(connect: Connect) -> None:
        peer = await connect()
        peer[1].write(request_)
        said = await peer[0].read()
        assert said.startswith(b"HTTP/1.1 400 ")
        assert b"application/problem+json" in said
        assert said.count(b"HTTP/1.1") == 1

    serving(test, app=reading_app)


def test_a_fault_after_good_requests_is_not_taken_for_their_answer() -> None:
    held = asyncio.Event()

    async def slow_app(scope: Any, receive: Any, send: Any) -> None:
        await held.wait()
        await app(scope, receive, send)

    async def test(connect: Connect) -> None:
        broken = CHUNKED + b"xyz\r\n"
        peers = [await connect() for _ in range(3)]
        for peer, fault in zip(peers, (b"nonsense\r\n\r\n", broken, padded(70_000)), strict=True):
            peer[1].write(padded(100) * 3 + fault + padded(100))
        while len(made) < len(peers) or any(protocol._fault is None for protocol in made):
            await asyncio.sleep(0)
        held.set()
        for peer, status in zip(peers, (b"400", b"400", b"431"), strict=True):
            said = re.findall(rb"HTTP/1.1 (\d+)", await peer[0].read())
            assert said == [b"200"] * 3 + [status]

    made: set[Any] = set()
    serving(test, app=slow_app, made=made)


def test_a_chunk_with_an_endless_extension() -> None:
    async def test(connect: Connect) -> None:
        peer = await connect()
        peer[1].write(CHUNKED + b"1;" + b"a" * 2 * LARGEST_HEAD)
        with suppress(ConnectionError):
            assert (await peer[0].read()).count(b"HTTP/1.1") <= 1

    serving(test)


def test_pipelining_is_bounded() -> None:
    """However many requests come at once: a few are begun, the others wait as bytes."""
    held = asyncio.Event()
    began: list[str] = []

    async def slow_app(scope: Any, receive: Any, send: Any) -> None:
        began.append(scope["path"])
        await held.wait()
        headers = [(b"content-length", b"2"), (b"x-path", scope["path"].encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})

    async def test(connect: Connect) -> None:
        peer = await connect()
        paths = [f"/{number}" for number in range(2_000)]
        peer[1].write(b"".join(f"GET {path} HTTP/1.1\r\n\r\n".encode() for path in paths))
        while not began:
            await asyncio.sleep(0)
        (protocol,) = made
        assert len(protocol.pipeline) == MOST_UNANSWERED
        assert len(protocol._held) > 10_000
        held.set()
        for path in paths:
            assert f"x-path: {path}\r\n".encode() in await answer(peer)
        assert began == paths

    made: set[Any] = set()
    serving(test, app=slow_app, made=made)


def test_many_connections_are_refused() -> None:
    async def test(connect: Connect) -> None:
        peers = [await connect() for _ in range(3)]
        for peer in peers:
            peer[1].write(padded(100))
        assert b" 200 " in await answer(peers[0])
        assert b" 200 " in await answer(peers[1])
        said = await peers[2][0].read()
        assert said.startswith(b"HTTP/1.1 503 ")
        assert b"connection: close" in said
        peers[0][1].close()
        await peers[0][1].wait_closed()
        again = await connect()
        again[1].write(padded(100))
        assert b" 200 " in await answer(again)

    serving(test, most_connections=2)


@pytest.mark.parametrize("last", [b"", b"Connection: close\r\n"])
@pytest.mark.parametrize("pipelined", [1, 20])
def test_whoever_does_not_read_is_cut_off(pipelined: int, last: bytes) -> None:
    body = b"a" * 10_000_000  # more than the buffers of both kernels

    async def large_app(_scope: Any, _receive: Any, send: Any) -> None:
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def test(connect: Connect) -> None:
        peer = await connect()
        peer[1].transport.pause_reading()  # type: ignore[attr-defined]
        peer[1].write((b"GET / HTTP/1.1\r\n" + last + b"\r\n") * pipelined)
        cut = asyncio.Event()
        while not cut.is_set():
            peer[1].write(b"")
            try:  # a peer that reads nothing learns it from what it sends
                peer[1].write(b"GET / HTTP/1.1\r\n\r\n")
                await peer[1].drain()
                await asyncio.sleep(0.01)
            except ConnectionError:
                cut.set()

    serving(test, SHORT_BODY, large_app)


def test_a_connection_that_is_cut_while_it_answers_leaves_no_timer() -> None:
    """The first of two requests is answered after it was cut, and the second never."""
    held, done = asyncio.Event(), asyncio.Event()
    said: list[dict[str, Any]] = []

    async def slow_app(scope: Any, receive: Any, send: Any) -> None:
        await held.wait()
        await app(scope, receive, send)
        said.append(await receive())
        done.set()

    async def test(connect: Connect) -> None:
        peer = await connect()
        peer[1].write(b"GET /1 HTTP/1.1\r\n\r\nGET /2 HTTP/1.1\r\n\r\n")
        while not (made and next(iter(made)).pipeline):
            await asyncio.sleep(0)
        (protocol,) = made
        protocol.transport.abort()
        while made:
            await asyncio.sleep(0)
        held.set()
        await done.wait()
        assert said == [{"type": "http.disconnect"}]
        assert protocol.timeout_keep_alive_task is None

    made: set[Any] = set()
    serving(test, app=slow_app, made=made)
