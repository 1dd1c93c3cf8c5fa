"""What the fast lane remembers: heads, and answers that equal bytes get again."""

import asyncio

import pytest

from core.auth.api_keys import KeyKind
from readserver import fast_lane, protocol
from readserver.answers import CONFIGS, FLAGS
from readserver.fast_lane import Head
from tests.support.fast_lanes import (
    GET,
    KNOWN,
    ONE,
    OTHER,
    POST,
    PREPARED,
    World,
    on_loop,
)


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
        # Between two answers it is looked whether the turn is over; one alone costs no more.
        for request, total in ((GET, 1), (GET, 2), (GET * 4, 6)):
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
