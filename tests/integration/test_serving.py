"""Connections are taken together, not one by one between the requests of those that came before."""

import asyncio
import socket
from contextlib import ExitStack
from typing import Any

import uvloop

from readserver.protocol import BoundedProtocol
from readserver.serving import _TAKEN_AT_ONCE, Listener, _server


async def app(scope: Any, receive: Any, send: Any) -> None: ...


def test_connections_that_come_at_once_are_taken_at_once() -> None:
    made: list[Any] = []

    class Noticed(BoundedProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            made.append(transport)
            super().connection_made(transport)

    async def scene() -> int:
        bound = socket.create_server(("127.0.0.1", 0))
        bound.setblocking(False)
        address = bound.getsockname()
        listener = Listener(app, bound, Noticed)
        server = _server(listener)
        serving = asyncio.create_task(server.serve(sockets=listener.sockets()))
        while not server.started:
            await asyncio.sleep(0.001)
        rounds = 0
        with ExitStack() as stack:
            for _ in range(_TAKEN_AT_ONCE):
                stack.enter_context(socket.create_connection(address))
            while len(made) < _TAKEN_AT_ONCE:
                await asyncio.sleep(0)
                rounds += 1
        server.stop()
        await serving
        return rounds

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert runner.run(scene()) < _TAKEN_AT_ONCE // 2
