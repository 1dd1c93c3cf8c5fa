"""Asks Postgres now and then what is true, in case that every message was lost."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, Final

import psycopg

from core.errors import FlagctlError
from core.settings import Secret
from core.snapshot.load import STATE_SQL, State, state_of
from readserver import trusted_keys
from readserver.host import Peers
from readserver.host_answers import Answer
from readserver.kept_connection import KeptConnection
from readserver.telemetry import Counts
from readserver.trusted_keys import TrustedKeys

_LEAST_PAUSE: Final = 0.1  # seconds, however often a check is asked for
_LONGEST_PAUSE_WHILE_LOST: Final = 2.0
_LONGEST_WAIT: Final = 5.0
_PAUSE_WHILE_ANOTHER_ASKS: Final = 0.05
_OLDEST_CONNECTION: Final = 10.0  # when it is asked
_NEVER: Final = float("-inf")
_log = logging.getLogger(__name__)


class Checker:
    """Two queries for all environments and all workers of the host every `interval` seconds.

    It gives up after half the interval. Nothing else waits for its connection, nor this for
    anything. The worker that leads asks, and the others learn its answer as if they had asked; what
    it does not ask in time, one of them does. Whoever asks keeps the connection until another does,
    or until it is old: a new one notices what a kept one does not, that a fail-over gave the
    address to another server, or that a password was taken back.
    """

    def __init__(
        self,
        url: Secret,
        *,
        interval: float,
        keys: TrustedKeys,
        counts: Counts,
        peers: Peers,
        on_answer: Callable[[State, float], None],
        on_failure: Callable[[], None],
    ) -> None:
        """`keys` are read along, on the same connection."""
        self._connection = KeptConnection(url)
        self._interval = interval
        self._keys = keys
        self._counts = counts
        self._peers = peers
        self._on_answer = on_answer
        self._on_failure = on_failure
        self._is_wanted = False
        self._woken = asyncio.Event()
        self._began_at = _NEVER
        self._learned_at = _NEVER  # when the last answer was asked for, whoever did
        self._failed = False

    def soon(self) -> None:
        """Check now, or as soon as the least pause has passed, whichever worker does."""
        if not self._peers.ask_for_check():
            self.want()

    def want(self) -> None:
        """As `soon`, by this worker."""
        self._is_wanted = True
        self._woken.set()

    def for_unknown(self) -> bool:
        """Ration: whether the stores may be asked about an id that the last check did not list."""
        if not self._peers.grant_unknown():
            return False
        self.soon()
        return True

    def learn(self, answer: Answer) -> None:
        """From the check of whichever worker; an older one than the last says nothing."""
        if answer.asked_at <= self._learned_at:
            return
        self._learned_at = answer.asked_at
        if self._is_relieved():
            self._woken.set()
        self._failed = answer.state is None
        if answer.state is None:
            self._on_failure()
        else:
            self._keys.learn(answer.keys, answer.asked_at)
            self._on_answer(answer.state, answer.asked_at)

    async def run(self) -> None:
        try:
            await self._run()
        finally:
            await self._connection.close()

    async def _run(self) -> None:
        started_at = time.monotonic()
        while True:
            if self._is_relieved():
                await self._connection.close()
            elif (seconds := self._seconds_left(started_at)) > 0:
                await self._rest(seconds)
            elif self._peers.begin_check():
                try:
                    self._is_wanted = False
                    await self.check()
                finally:
                    self._peers.end_check()
            else:
                await asyncio.sleep(_PAUSE_WHILE_ANOTHER_ASKS)

    def _is_relieved(self) -> bool:
        """Whether another worker asked since: one connection is enough for all."""
        return self._connection.is_open and self._learned_at > self._began_at

    def _seconds_left(self, started_at: float) -> float:
        """Until it is this worker's turn to check."""
        now, last = time.monotonic(), max(self._learned_at, self._began_at)
        if self._is_wanted:
            return last + min(_LEAST_PAUSE, self._interval) - now
        pause = self._interval
        if self._failed:
            pause = min(pause, _LONGEST_PAUSE_WHILE_LOST)
        return max(last + pause, started_at) + self._peers.lateness - now

    async def _rest(self, seconds: float) -> None:
        self._woken.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._woken.wait()
        except TimeoutError:
            return

    async def check(self) -> None:
        """Ask once. Never raises for what Postgres does."""
        self._began_at = asked_at = time.monotonic()
        self._counts.checks += 1
        try:
            answer = await self._ask(asked_at)
        except FlagctlError as error:
            self._counts.failed_checks += 1
            if not self._failed:
                _log.warning("the check of revisions failed", extra={"reason": error.code})
            answer = Answer(asked_at)
        else:
            if self._failed:
                _log.info("Postgres answers again")
        # The others first: what follows here may load, and they know what is true meanwhile.
        is_known = self._peers.publish(answer)
        self.learn(answer)
        if not is_known or self._connection.age + self._interval > _OLDEST_CONNECTION:
            await self._connection.close()

    async def _ask(self, asked_at: float) -> Answer:
        async def question(connection: psycopg.AsyncConnection[Any]) -> Answer:
            cursor = await connection.execute(STATE_SQL)
            state = state_of(await cursor.fetchall())
            return Answer(asked_at, state, await trusted_keys.read(connection))

        seconds = min(self._interval / 2, _LONGEST_WAIT)
        return await self._connection.ask(question, seconds=seconds)
