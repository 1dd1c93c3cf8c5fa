"""What counts as unfinished and what as idle, on a transport that is made up."""

import asyncio
import re

import pytest

from readserver.protocol import BoundedProtocol
from tests.support.fast_lanes import GET, ONE, OTHER, World, on_loop

LARGEST = 4_096  # bytes of a head
BODY = OTHER[:-2].replace(b"GET", b"POST") + b"Content-Length: 3000\r\n\r\n" + b"x" * 3_000
CHUNKED = (
    OTHER[:-2].replace(b"GET", b"POST")
    + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
)


def padded(request: bytes, size: int) -> bytes:
    """The same with a head of so many bytes."""
    return request[:-2] + b"X: " + b"x" * (size - len(request) - 5) + b"\r\n\r\n"


def world() -> World:
    found = World()
    protocol: type[BoundedProtocol] = type(found.protocol)  # of this world alone
    protocol._largest_head = LARGEST
    return found


def said(world: World) -> list[bytes]:
    """The statuses of all answers so far."""
    return re.findall(rb"HTTP/1.1 (\d+)", b"".join(world.transport.written))


async def statuses(world: World) -> list[bytes]:
    """Of all answers, when nothing is at work any more."""
    while world.state.tasks or world.protocol._held:
        await asyncio.sleep(0)
    return said(world)


@pytest.mark.parametrize("request_", [GET, OTHER], ids=["the lane's", "ordinary"])
@pytest.mark.parametrize("size", [100, 1_300, LARGEST - 1, LARGEST])
def test_whole_heads_do_not_count(request_: bytes, size: int) -> None:
    async def test() -> None:
        one = world()
        one.ask(padded(request_, size) * 10 + b"GET /")
        assert await statuses(one) == [b"200"] * 10
        assert not one.transport.is_closed

    on_loop(test)


@pytest.mark.parametrize("first", [1, 100, LARGEST - 1])
def test_a_body_does_not_count(first: int) -> None:
    async def test() -> None:
        one, head = world(), padded(OTHER, LARGEST)
        one.ask(BODY + head[:first])
        one.ask(head[first:])
        assert await statuses(one) == [b"200", b"200"]
        assert not one.transport.is_closed

    on_loop(test)


@pytest.mark.parametrize("step", [1, 1_000, LARGEST], ids=["dripped", "in pieces", "at once"])
@pytest.mark.parametrize(
    ("before", "answered"),
    [
        (b"", 0),
        (GET, 1),
        (GET * 3 + OTHER * 3, 6),
        (ONE, 1),
        (BODY, 1),
        (BODY * 2 + OTHER, 3),
        (CHUNKED * 2, 2),
    ],
    ids=["", "the lane's", "both", "a flag", "a body", "bodies", "chunked"],
)
def test_a_head_that_never_ends_is_refused_at_the_limit(
    before: bytes, answered: int, step: int
) -> None:
    """With what comes before it in one read."""

    async def test() -> None:
        one, endless = world(), (OTHER[:-2] + b"X: ").ljust(LARGEST, b"x")
        one.ask(before + endless[:step])
        for start in range(step, LARGEST, step):
            one.ask(endless[start : start + step])
        assert await statuses(one) == [b"200"] * answered
        assert not one.transport.is_closed
        one.ask(b"x")
        assert await statuses(one) == [b"200"] * answered + [b"431"]
        assert one.transport.is_closed

    on_loop(test)


@pytest.mark.parametrize("behind", [b"", b"\r\n\r\n"])
def test_what_a_body_hides_is_bounded(behind: bytes) -> None:
    async def test() -> None:
        one = world()
        one.ask(BODY[:-1_500] + b"\r\n" * 750 + behind + OTHER[:-2] + b"X: ")
        one.ask(b"x" * (LARGEST + LARGEST // 2))
        assert await statuses(one) == [b"200", b"431"]

    on_loop(test)


@pytest.mark.parametrize("request_", [GET, OTHER], ids=["the lane's", "ordinary"])
def test_what_waits_for_a_slow_reader_is_not_idle(request_: bytes) -> None:
    """However long ago the last answer was: the others come when there is room for them."""

    async def test() -> None:
        one = World(room=1_000)
        one.ask(request_ * 40)
        while not one.protocol.flow.write_paused:
            await asyncio.sleep(0)
        assert one.protocol._held
        assert len(said(one)) < 40
        one.protocol._answered_at = float("-inf")
        one.protocol.timeout_keep_alive_handler()
        assert not one.transport.is_closed
        one.transport.room = 10**9
        one.protocol.resume_writing()
        assert await statuses(one) == [b"200"] * 40

    on_loop(test)
