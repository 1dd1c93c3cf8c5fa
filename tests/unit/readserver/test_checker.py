"""What a check's answer means to a worker, whoever asked."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast

import pytest

from core.auth.tokens import Origin, TrustedKey
from core.errors import UnauthenticatedError, UnavailableError
from core.settings import Secret
from core.snapshot.load import State
from readserver.checker import Checker
from readserver.host import Peers
from readserver.host_answers import Answer
from readserver.kept_connection import KeptConnection
from readserver.telemetry import Counts
from readserver.trusted_keys import TrustedKeys

KEY = TrustedKey("https://issuer", "k", b"\1", "flagctl", timedelta(hours=1))


class Follower(Peers):
    """Another one leads, and is asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.published: list[Answer] = []

    @property
    def lateness(self) -> float:
        return 0.1

    def ask_for_check(self) -> bool:
        self.asked += 1
        return True

    def publish(self, answer: Answer) -> bool:
        self.published.append(answer)
        return True


def checker(peers: Peers, heard: list[str], counts: Counts, *, interval: float = 600) -> Checker:
    return Checker(
        Secret("postgresql://x@/x?host=/nonexistent"),
        interval=interval,
        keys=TrustedKeys(ask_for_check=lambda: None),
        counts=counts,
        peers=peers,
        on_answer=lambda state, _: heard.append(state.epoch),
        on_failure=lambda: heard.append("lost"),
    )


def state(epoch: str) -> State:
    return State(epoch, b"", {})


def test_an_older_answer_says_nothing() -> None:
    heard: list[str] = []
    made = checker(Peers(), heard, Counts())
    for asked_at, found in ((2.0, "b"), (1.0, "a"), (2.0, "b"), (3.0, None), (4.0, "d")):
        made.learn(Answer(asked_at, state(found) if found else None))
    assert heard == ["b", "lost", "d"]


async def follows(until: Callable[[Follower, Counts], bool], *, fresh: bool) -> Follower:
    """Its check cannot reach Postgres, which is an answer too."""
    peers, counts, heard = Follower(), Counts(), list[str]()
    made = checker(peers, heard, counts)
    if fresh:
        made.learn(Answer(time.monotonic(), state("a")))
    running = asyncio.create_task(made.run())
    made.soon()
    async with asyncio.timeout(10):
        while not until(peers, counts):
            await asyncio.sleep(0.005)
    running.cancel()
    return peers


def test_who_follows_asks_the_leader() -> None:
    peers = asyncio.run(follows(lambda peers, _: peers.asked == 1, fresh=True))
    assert peers.published == []


@asynccontextmanager
async def unreachable(_url: Secret, *, seconds: float) -> AsyncIterator[None]:
    raise UnavailableError
    yield


def test_who_follows_checks_what_nobody_checked_and_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("readserver.kept_connection.open_connection", unreachable)
    peers = asyncio.run(follows(lambda _, counts: counts.failed_checks == 1, fresh=False))
    (answer,) = peers.published
    assert answer.state is None


async def new_key() -> None:
    asked = asyncio.Event()
    keys = TrustedKeys(ask_for_check=asked.set)
    keys.learn([], time.monotonic() - 60)
    finding = asyncio.create_task(keys.find(Origin("https://issuer", "k")))
    await asked.wait()
    keys.learn([], time.monotonic() - 1)  # it was on its way already
    keys.learn([KEY], time.monotonic())
    assert await finding == [KEY]
    keys.learn(None, time.monotonic())
    assert await keys.find(Origin("https://issuer", "k")) == [KEY]
    keys.learn([], time.monotonic())
    finding = asyncio.create_task(keys.find(Origin("https://issuer", "k")))
    await asyncio.sleep(0)
    keys.learn([], time.monotonic())
    with pytest.raises(UnauthenticatedError):
        await finding


def test_a_new_key_is_found_by_a_check_that_begins_after_it_is_asked_for() -> None:
    asyncio.run(new_key())


def test_who_is_relieved_closes_its_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long it is until its next check."""
    kept: list[KeptConnection] = []

    async def ask(self: KeptConnection, *_: Any, **__: Any) -> Answer:
        self._connection, self._opened_at = cast("Any", object()), time.monotonic()
        kept.append(self)
        return Answer(made._began_at, state("a"))

    monkeypatch.setattr(KeptConnection, "ask", ask)
    heard: list[str] = []
    made = checker(Peers(), heard, Counts(), interval=9)

    async def relieved() -> None:
        running = asyncio.create_task(made.run())
        async with asyncio.timeout(5):
            while not heard:
                await asyncio.sleep(0)
            assert kept[0].is_open
            made.learn(Answer(time.monotonic(), state("b")))
            while kept[0].is_open:
                await asyncio.sleep(0)
        running.cancel()

    asyncio.run(relieved())
    assert len(kept) == 1
    assert heard == ["a", "b"]
