"""One worker of a host leads: it listens to Postgres and Redis, checks, and tells the others.

So a server has one connection for LISTEN and one for checks, however many workers it has. Each
worker goes on without the leader: it checks by itself what nobody else checked in time, and leads
when the leader falls silent.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from readserver import host_answers
from readserver.board import Board
from readserver.host_answers import Answer
from readserver.host_messages import (
    Changed,
    Checked,
    Filled,
    Holding,
    Mailboxes,
    Message,
    RedisSeen,
    Wanted,
    render,
)
from readserver.host_signs import BEAT_SECONDS, PATIENCE_SECONDS, Signs
from readserver.tasks import stop, supervise

_ANSWER_BYTES: Final = 4_194_304  # of some 40,000 environments; with more, each worker asks itself
_MOST_AT_ONCE: Final = 64  # messages; then requests have their turn
# For the check: then the next one makes it, which takes one connection more than it should if the
# leader still has its own,
_LATE_SECONDS: Final = PATIENCE_SECONDS
_NEXT_SECONDS: Final = 0.1  # and so much later the one after that
_REDIS_EVERY_SECONDS: Final = 0.9
# Of a worker that hangs, before nobody reckons with what it holds. A dead one is buried at once.
_LONGEST_SILENCE_SECONDS: Final = 5.0
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Hearing:
    """What a worker does with what it hears. `on_missed`: it may not have heard all."""

    on_change: Callable[[str, int, str], None]
    on_filled: Callable[[str], None]
    on_holding: Callable[[], None]
    on_answer: Callable[[Answer], None]
    on_wanted: Callable[[], None]
    on_missed: Callable[[], None]
    on_redis_up: Callable[[], None]
    on_redis_down: Callable[[], None]


class Peers:
    """The other workers of the host, as one sees them. Here there are none."""

    def __init__(self) -> None:
        self._signs = Signs(1)

    @property
    def leads(self) -> bool:
        """Whether this one listens for all."""
        return True

    @property
    def lateness(self) -> float:
        """Seconds that it leaves to others to make a check that is due."""
        return 0.0

    async def until(self, *, leads: bool) -> None:
        """Wait until it does, or no more."""
        if not leads:
            await asyncio.Event().wait()

    @asynccontextmanager
    async def joined(self, hearing: Hearing) -> AsyncIterator[None]:  # noqa: ARG002 - nobody speaks
        """Take part, and hear of the last check that others made."""
        yield

    def begin_check(self) -> bool:
        """Whether Postgres may be asked now; then `end_check` has to follow."""
        return True

    def end_check(self) -> None: ...

    def grant_unknown(self) -> bool:
        """Ration of checks for ids that nobody knows, for the whole host."""
        return self._signs.grant_unknown(0)

    def ask_for_check(self) -> bool:
        """Whether another one is there to make it, and was asked."""
        return False

    def tell(self, message: Message) -> None:
        """To all others, without waiting."""

    def tell_redis(self, *, is_up: bool) -> None:
        """Called as often as Redis is heard from; tells of each change, and once a second."""

    def publish(self, answer: Answer) -> bool:  # noqa: ARG002 - nobody listens
        """Tell all others what a check found. False when it is too much: each asks itself then."""
        return True

    def hold(self, environment_ids: Collection[str]) -> bool:  # noqa: ARG002 - nobody listens
        """Say that requests are answered here, and which environments are held for them. Whether
        that is more, or others, than was said before."""
        return False

    def held_by_others(self) -> set[str]:
        """The environments that others hold who answer requests, and were not silent for long."""
        return set()


class Host:
    """What the workers share. Made before they are."""

    def __init__(self, workers: int) -> None:
        self.workers = range(workers)
        self.signs = Signs(workers)
        self.mailboxes = Mailboxes(workers)
        self.answers = Board(workers, slot=_ANSWER_BYTES)
        self.holdings = Board(workers)

    def member(self, worker: int) -> "Member":
        return Member(self, worker)

    def ended(self, worker: int) -> None:
        """It is dead: nobody has to wait until it is silent for long enough."""
        self.signs.leave(worker)
        self.holdings.write(worker, b"")

    def close(self) -> None:
        self.mailboxes.close()


class Member(Peers):
    """One of several workers. Lives on one event loop."""

    def __init__(self, host: Host, worker: int) -> None:
        self._host = host
        self._signs = host.signs
        self._worker = worker
        self._leads = {True: asyncio.Event(), False: asyncio.Event()}
        self._redis: tuple[bool, float] = (False, float("-inf"))  # what the others were told, when
        self._holding = set[str]()  # what the others were told

    @property
    def leads(self) -> bool:
        return self._leads[True].is_set()

    @property
    def lateness(self) -> float:
        order = self._signs.order()
        rank = order.index(self._worker) if self._worker in order else len(order)
        return _LATE_SECONDS + _NEXT_SECONDS * (rank - 1) if rank else 0.0

    async def until(self, *, leads: bool) -> None:
        await self._leads[leads].wait()

    @asynccontextmanager
    async def joined(self, hearing: Hearing) -> AsyncIterator[None]:
        loop, file = asyncio.get_running_loop(), self._host.mailboxes.file(self._worker)
        self._holding.clear()
        self._host.holdings.write(self._worker, b"")
        self._signs.join(self._worker)
        self._catch_up(hearing)
        loop.add_reader(file, self._read, hearing)
        beating = asyncio.create_task(supervise("host", lambda: self._beat(hearing)))
        try:
            yield
        finally:
            await stop([beating])
            loop.remove_reader(file)
            self._signs.leave(self._worker)

    def begin_check(self) -> bool:
        return self._signs.begin_check(self._worker)

    def end_check(self) -> None:
        self._signs.end_check(self._worker)

    def grant_unknown(self) -> bool:
        return self._signs.grant_unknown(self._worker)

    def ask_for_check(self) -> bool:
        order = self._signs.order()
        if not order or order[0] == self._worker:
            return False
        self._host.mailboxes.send(order[0], render(Wanted()))
        return True

    def tell(self, message: Message) -> None:
        rendered = render(message)
        for worker in self._host.workers:
            if worker != self._worker:
                self._host.mailboxes.send(worker, rendered)

    def tell_redis(self, *, is_up: bool) -> None:
        was_up, told_at = self._redis
        now = time.monotonic()
        if is_up != was_up or now - told_at >= _REDIS_EVERY_SECONDS:
            self._redis = is_up, now
            self.tell(RedisSeen(is_up))

    def publish(self, answer: Answer) -> bool:
        fits = self._host.answers.write(self._worker, host_answers.encode(answer))
        self.tell(Checked(self._worker))
        return fits

    def hold(self, environment_ids: Collection[str]) -> bool:
        held, before = set(environment_ids), self._holding
        if held != before:
            self._holding = held
            if not self._host.holdings.write(self._worker, " ".join(held).encode()):
                _log.warning("there are more environments than the board for other workers takes")
                self._host.holdings.write(self._worker, b"")
        return not held <= before

    def held_by_others(self) -> set[str]:
        living = self._signs.order(_LONGEST_SILENCE_SECONDS)
        others = [worker for worker in living if worker != self._worker]
        said = (self._host.holdings.read(worker) or b"" for worker in others)
        return {environment_id for ids in said for environment_id in ids.decode().split()}

    async def _beat(self, hearing: Hearing) -> None:
        """For as long as this worker lives; when it does no more, others take over."""
        while True:
            self._signs.beat(self._worker)
            leads = self._signs.order()[:1] == [self._worker]
            if leads != self.leads:
                self._leads[leads].set()
                self._leads[not leads].clear()
            if self._host.mailboxes.has_overflowed(self._worker) and self.grant_unknown():
                self._host.mailboxes.forgive(self._worker)
                self._catch_up(hearing)
                hearing.on_missed()
            await asyncio.sleep(BEAT_SECONDS)

    def _read(self, hearing: Hearing) -> None:
        for _ in range(_MOST_AT_ONCE):
            message = self._host.mailboxes.receive(self._worker)
            if message is None:
                return
            self._hear(message, hearing)

    def _hear(self, message: Message, hearing: Hearing) -> None:
        match message:
            case Changed(environment_id, revision, channel):
                hearing.on_change(environment_id, revision, channel)
            case Filled(environment_id):
                hearing.on_filled(environment_id)
            case Holding():
                hearing.on_holding()
            case Checked(worker):
                self._hear_answer(worker, hearing)
            case Wanted():
                hearing.on_wanted()
            case RedisSeen(is_up):
                hearing.on_redis_up() if is_up else hearing.on_redis_down()

    def _catch_up(self, hearing: Hearing) -> None:
        for worker in self._host.workers:
            self._hear_answer(worker, hearing)

    def _hear_answer(self, worker: int, hearing: Hearing) -> None:
        if (data := self._host.answers.read(worker)) is not None:
            hearing.on_answer(host_answers.decode(data))
