"""The fast lane on a transport that is made up: what it answers, and what it hands on."""

import asyncio
import logging
from typing import Any

import pytest

from core.auth.api_keys import KeyKind
from readserver import fast_lane, protocol
from readserver.context_answers import BULK
from readserver.endpoints.evaluate import EvaluateEndpoint
from readserver.fast_lane import read_head
from readserver.protocol import MOST_UNANSWERED
from tests.support.fast_lanes import (
    GET,
    KEEP_ALIVE,
    KNOWN,
    ONE,
    OTHER,
    POST,
    PREPARED,
    PROGRAM,
    World,
    on_loop,
)


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


def test_a_turn_ends_when_it_took_long() -> None:
    async def test() -> None:
        world = World(turn_seconds=0)
        assert world.ask(ONE) == 1
        assert world.transport.reads, "there is nothing left to wait for"
        assert world.ask(GET * 3 + OTHER) == 1
        assert not world.transport.reads
        seen: list[int] = []
        while not world.handed_on:
            await asyncio.sleep(0)  # another's turn
            seen.append(len(world.transport.written) - 2)
        assert seen[:2] == [1, 2]
        assert world.handed_on == ["/v1/other"]
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
def test_an_idle_connection_is_closed_after_its_last_answer(
    request_: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1_000.0
    for module in (protocol, fast_lane):
        monkeypatch.setattr(module, "monotonic", lambda: now)

    async def test() -> None:
        nonlocal now
        world = World()
        for answers in range(1, 4):
            world.ask(request_)
            while world.state.total_requests < answers:
                await asyncio.sleep(0)
            assert world.protocol.timeout_keep_alive_task is not None
            now += KEEP_ALIVE * 0.9
            world.protocol.timeout_keep_alive_handler()
            assert not world.transport.is_closed
        now += KEEP_ALIVE * 0.2
        while not world.transport.is_closed:  # by the timer that is set
            await asyncio.sleep(0.001)

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
