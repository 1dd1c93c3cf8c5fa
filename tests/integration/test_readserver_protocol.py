"""What a peer may leave unfinished: bounded heads, over real sockets and uvicorn's real parser."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from readserver import protocol
from readserver.protocol import LARGEST_HEAD, BoundedProtocol

Peer = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Connect = Callable[[], Awaitable[Peer]]
REQUEST = b"POST / HTTP/1.1\r\nHost: x\r\n"
CHUNKED = REQUEST + b"Transfer-Encoding: chunked\r\n\r\n"


async def app(_scope: Any, _receive: Any, send: Any) -> None:
    headers = [(b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"ok"})


def serving(test: Callable[[Connect], Awaitable[None]]) -> None:
    """Run a test that gets a function to connect with."""

    async def run() -> None:
        config = uvicorn.Config(app, lifespan="off", log_config=None)
        state = ServerState()
        loop = asyncio.get_running_loop()
        server = await loop.create_server(
            lambda: BoundedProtocol(config, state, {}), "127.0.0.1", 0
        )
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


def test_what_is_unfinished_is_closed_and_what_is_idle_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(protocol, "HEAD_SECONDS", 0.05)

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

    serving(test)
