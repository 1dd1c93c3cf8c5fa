"""Many streams: who is told, how many at once, and when it ends."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.exceptions import HTTPException

from core.auth.api_keys import KeyKind, digest
from core.errors import UnavailableError
from core.snapshot.document import Auth, KeyGrant
from readserver.answers import Prepared
from readserver.event_stream import EventStream
from readserver.stream_events import event_of, greeting, revision_in
from readserver.streams import SLICE, StreamBounds, Streams
from readserver.telemetry import Counts
from tests.support.snapshots import ENVIRONMENT_ID, KEY, snapshot

OTHER = "f" * 16
NO_PACE = StreamBounds(rate=1e9, heartbeat=600)


def prepared(revision: int, **fields: Any) -> Prepared:
    return Prepared(snapshot(revision, **fields), {}, {})


class Client:
    """Takes what is sent; while `reads` is cleared, nothing."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.is_over = False
        self.reads = asyncio.Event()
        self.reads.set()

    async def send(self, message: Any) -> None:
        await self.reads.wait()
        if message["type"] == "http.response.body":
            self.got.append(message["body"])
            self.is_over = not message["more_body"]

    @property
    def revisions(self) -> list[int]:
        ids = [line[4:] for line in b"".join(self.got).decode().splitlines() if line[:3] == "id:"]
        return [revision for id_ in ids if (revision := revision_in(id_)) is not None]


class World:
    def __init__(self, bounds: StreamBounds = NO_PACE) -> None:
        self.now = 1_000.0
        self.held = {id_: prepared(1, environment_id=id_) for id_ in (ENVIRONMENT_ID, OTHER)}
        self.counts = Counts()
        self.streams = Streams(self.held.get, self.counts, bounds, lambda: self.now)
        self.running = asyncio.create_task(self.streams.run())

    def connect(
        self, environment_id: str = ENVIRONMENT_ID, *, ends_at: float = float("inf")
    ) -> tuple[Client, EventStream]:
        self.streams.check(digest(KEY))
        client = Client()
        held = self.held[environment_id]
        stream = EventStream(client.send, {"type": ""}, held, key=digest(KEY), ends_at=ends_at)
        stream.say(greeting(event_of(held), event_of(held).id))
        self.streams.add(stream)
        return client, stream

    def come_to(self, revision: int, environment_id: str = ENVIRONMENT_ID) -> None:
        self.held[environment_id] = prepared(revision, environment_id=environment_id)
        self.streams.wake()

    def keep(self, *keys: tuple[str, KeyGrant]) -> None:
        auth = Auth({digest(key): grant for key, grant in keys})
        self.held[ENVIRONMENT_ID] = prepared(2, auth=auth)
        self.streams.wake()

    async def settle(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)


def world_test(
    bounds: StreamBounds = NO_PACE,
) -> Callable[[Callable[[World], Awaitable[None]]], Callable[[], None]]:
    def decorate(test: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
        async def run() -> None:
            world = World(bounds)
            try:
                async with asyncio.timeout(10):
                    await test(world)
            finally:
                world.running.cancel()

        def wrapped() -> None:
            made: Coroutine[Any, Any, None] = run()
            asyncio.run(made)

        wrapped.__name__ = test.__name__
        return wrapped

    return decorate


@world_test()
async def test_told_in_slices_with_a_pass_of_the_loop_between(world: World) -> None:
    clients = [world.connect()[0] for _ in range(5 * SLICE // 2)]
    await world.settle()
    world.come_to(2)
    told: list[int] = []
    while not told or told[-1] < len(clients):
        await asyncio.sleep(0)
        told.append(sum(client.revisions == [2] for client in clients))
    steps = [after - before for before, after in zip([0, *told], told, strict=False)]
    assert max(steps) == SLICE
    assert world.counts.stream_events == len(clients)


@world_test(StreamBounds(rate=10_000, heartbeat=600))
async def test_told_at_a_pace(world: World) -> None:
    clients = [world.connect()[0] for _ in range(3 * SLICE)]
    await world.settle()
    began = asyncio.get_running_loop().time()
    world.come_to(2)
    while not all(client.revisions for client in clients):
        await asyncio.sleep(0)
    assert asyncio.get_running_loop().time() - began >= 2 * SLICE / 10_000


@world_test(StreamBounds(rate=4_000, heartbeat=600))
async def test_a_large_environment_holds_up_no_other(world: World) -> None:
    """Neither its news nor its keys, and though it began later."""
    large = [world.connect()[0] for _ in range(4 * SLICE)]
    small, _ = world.connect(OTHER)
    await world.settle()
    world.come_to(2)
    await world.settle()
    world.come_to(2, OTHER)
    while not small.revisions:
        await asyncio.sleep(0)
    told = sum(bool(client.revisions) for client in large)
    assert SLICE <= told < 3 * SLICE
    world.keep()
    await world.settle()
    assert all(client.is_over for client in large), "an end waits for no pace"
    assert sum(bool(client.revisions) for client in large) == told


@world_test()
async def test_who_does_not_read_is_told_the_newest_alone(world: World) -> None:
    slow, stream = world.connect()
    good, _ = world.connect()
    await world.settle()
    slow.reads.clear()
    for revision in range(2, 6):
        world.come_to(revision)
        await world.settle()
    assert good.revisions == [2, 3, 4, 5]
    assert stream.is_behind
    slow.reads.set()
    await world.settle()
    assert slow.revisions == [2, 5]
    assert not stream.is_behind
    slow.reads.clear()
    world.come_to(6)
    await world.settle()
    world.streams.remove(stream, timed_out=False)
    assert (len(world.streams), world.counts.streams_dropped) == (1, 1)
    slow.reads.set()


@world_test()
async def test_a_key_that_is_gone_ends_its_streams(world: World) -> None:
    client, _ = world.connect()
    other, _ = world.connect(OTHER)
    world.keep()
    await world.settle()
    assert (client.is_over, other.is_over) == (True, False)
    assert client.revisions == []
    del world.held[OTHER]  # the environment was deleted
    world.streams.wake()
    await world.settle()
    assert other.is_over


@pytest.mark.parametrize("whose", ["token", "key"])
def test_an_end_is_noticed_without_any_message(whose: str) -> None:
    @world_test()
    async def test(world: World) -> None:
        ends_at = world.now + 0.02
        if whose == "key":
            when = datetime.fromtimestamp(ends_at, UTC)
            world.keep((KEY, KeyGrant("aaaa", KeyKind.SERVER, when)))
        client, _ = world.connect(ends_at=ends_at if whose == "token" else float("inf"))
        await world.settle()
        assert not client.is_over
        world.now += 0.02
        while not client.is_over:
            await asyncio.sleep(0.001)

    test()


@world_test(StreamBounds(heartbeat=0.01))
async def test_heartbeats(world: World) -> None:
    client, _ = world.connect()
    while len(client.got) < 4:
        await asyncio.sleep(0.001)
    assert client.got[1:4] == [b":\n\n"] * 3


@world_test(StreamBounds(most=2, most_per_key=1))
async def test_bounds(world: World) -> None:
    _, first = world.connect()
    refused(world, digest(KEY), 429)
    other = EventStream(Client().send, {}, first.known, key=b"other", ends_at=0)
    world.streams.add(other)
    refused(world, b"a third", 503)
    world.streams.remove(first, timed_out=False)
    world.connect()


def refused(world: World, key: bytes, status: int) -> None:
    with pytest.raises(HTTPException) as refusal:
        world.streams.check(key)
    assert refusal.value.status_code == status
    assert refusal.value.headers == {"Retry-After": "10"}


@world_test(StreamBounds(rate=1, heartbeat=600))
async def test_a_stop_waits_for_no_pace(world: World) -> None:
    clients = [world.connect()[0] for _ in range(2 * SLICE)]
    await world.settle()
    world.come_to(2)
    await world.settle()
    world.streams.stop()
    while not all(client.is_over for client in clients):
        await asyncio.sleep(0)
    with pytest.raises(UnavailableError, match="about to stop"):
        world.connect()


def test_the_form_of_an_event() -> None:
    event = event_of(prepared(57))
    assert event.text.decode() == (
        f"id: {event.id}\nevent: message\n"
        f'data: {{"type":"refetchEvaluation","etag":"{event.id}","revision":57}}\n\n'
    )
    assert revision_in(event.id) == 57
    assert event_of(prepared(57, stamp="another")).id != event.id
    assert event_of(prepared(57, epoch="7000.2.1")).id != event.id
    for text in ("", "57", f"{event.id}0", f"-{event.id}", "9" * 19 + event.id[2:]):
        assert revision_in(text) is None
