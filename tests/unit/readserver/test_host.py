"""Workers of one host, on one loop: what they tell each other."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from core.auth.tokens import TrustedKey
from core.snapshot.document import Version
from core.snapshot.load import State
from readserver import host_answers, host_messages
from readserver.host import Hearing, Host, Member, Peers
from readserver.host_answers import Answer
from readserver.host_messages import Changed, Checked, Filled, Holding, Message, RedisSeen, Wanted

STATE = State("e1", b"s" * 32, {"a" * 16: Version("e1", 7, "stamp")})
KEYS = [TrustedKey("https://issuer", "k", b"\1\2", "flagctl", timedelta(hours=1))]


@dataclass
class Heard:
    """What one worker heard."""

    changes: list[tuple[str, int, str]] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    words: list[str] = field(default_factory=list)

    def hearing(self) -> Hearing:
        return Hearing(
            on_change=lambda *change: self.changes.append(change),
            on_filled=lambda environment_id: self.words.append(f"filled {environment_id}"),
            on_holding=lambda: self.words.append("holding"),
            on_answer=self.answers.append,
            on_wanted=lambda: self.words.append("wanted"),
            on_missed=lambda: self.words.append("missed"),
            on_redis_up=lambda: self.words.append("up"),
            on_redis_down=lambda: self.words.append("down"),
        )


@asynccontextmanager
async def joined(host: Host, *workers: int) -> AsyncIterator[list[tuple[Member, Heard]]]:
    async with AsyncExitStack() as stack:
        made = []
        for worker in workers:
            member, heard = host.member(worker), Heard()
            await stack.enter_async_context(member.joined(heard.hearing()))
            made.append((member, heard))
        yield made


def run(workers: int, scene: Callable[[Host], Coroutine[None, None, None]]) -> None:
    with closing(Host(workers)) as host:
        asyncio.run(scene(host))


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    "message",
    [
        Changed("a" * 16, 7, "postgres"),
        Changed("a" * 16, 10**17, "redis"),
        Filled("a" * 16),
        Holding(),
        Checked(3),
        Wanted(),
        RedisSeen(is_up=True),
        RedisSeen(is_up=False),
    ],
)
def test_messages(message: Message) -> None:
    assert host_messages.parse(host_messages.render(message)) == message


def test_answers() -> None:
    for answer in (Answer(1.5), Answer(1.5, STATE, KEYS), Answer(2.0, State("", b"", {}), None)):
        assert host_answers.decode(host_answers.encode(answer)) == answer


async def tell(host: Host) -> None:
    async with joined(host, 0, 1, 2) as ((first, own), (second, heard), (_, third)):
        await first.until(leads=True)
        assert (first.leads, second.leads) == (True, False)
        first.tell(Changed("a" * 16, 7, "postgres"))
        first.publish(Answer(1.0, STATE, KEYS))
        for is_up in (True, True, False, False, True):
            first.tell_redis(is_up=is_up)
        await until(lambda: len(heard.words) == len(third.words) == 3)
        assert heard.changes == third.changes == [("a" * 16, 7, "postgres")]
        assert heard.answers == [Answer(1.0, STATE, KEYS)]
        assert heard.words == ["up", "down", "up"]
        assert second.ask_for_check()
        assert not first.ask_for_check(), "it is the one that would be asked"
        await until(lambda: own.words == ["wanted"])
        assert (own.changes, own.answers) == ([], [])


def test_what_one_tells_all_others_hear() -> None:
    run(3, tell)


async def overflow(host: Host) -> None:
    async with joined(host, 0) as ((first, _),):
        for number in range(20_000):
            first.tell(Changed("a" * 16, number, "redis"))
        first.publish(Answer(1.0, STATE, KEYS))
        assert host.mailboxes.has_overflowed(1)
        async with joined(host, 1) as ((_, heard),):
            assert heard.answers == [Answer(1.0, STATE, KEYS)], "at once"
            await until(lambda: "missed" in heard.words)
            assert 0 < len(heard.changes) < 2_000
            assert not host.mailboxes.has_overflowed(1)


def test_a_mailbox_is_bounded_and_who_missed_something_finds_out() -> None:
    run(2, overflow)


async def succession(host: Host) -> None:
    async with joined(host, 1) as ((second, _),):
        async with joined(host, 0) as ((first, _),):
            await second.until(leads=True)
            assert (first.leads, first.lateness > 0, second.lateness) == (False, True, 0.0)
            host.ended(1)
            await first.until(leads=True)
            await second.until(leads=False)
        await second.until(leads=True)


def test_another_leads_when_one_ends() -> None:
    run(2, succession)


async def alone() -> None:
    peers = Peers()
    async with peers.joined(Heard().hearing()):
        await peers.until(leads=True)
        assert (peers.leads, peers.lateness, peers.begin_check()) == (True, 0.0, True)
        assert not peers.ask_for_check()
        assert [peers.grant_unknown(), peers.grant_unknown()] == [True, False]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await peers.until(leads=False)


def test_alone() -> None:
    asyncio.run(alone())
