"""A provider over stores that are made up, and everything around it."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime

from core.errors import UnavailableError
from core.snapshot.document import Snapshot, Version
from core.snapshot.load import State
from readserver.answers import Prepared, prepare
from readserver.freshness import PATIENCE_SECONDS, Freshness
from readserver.held import Held
from readserver.provider import Found, Provider
from readserver.stores.contract import Claim
from readserver.stores.memory import MemoryStore
from readserver.telemetry import Counts
from readserver.truth import Truth
from tests.support.rulesets import NOW
from tests.support.snapshots import ENVIRONMENT_ID, EPOCH, snapshot

SECRET = b"s" * 32


class FakePostgres:
    """The truth, with a count of the questions; `is_up` False refuses them."""

    def __init__(self) -> None:
        self.snapshot: Snapshot | None = snapshot(1)
        self.is_up = True
        self.asked = 0
        self.gate = asyncio.Event()
        self.gate.set()

    async def refresh(
        self, environment_id: str, *, unless: Version | None = None
    ) -> Snapshot | Version | None:
        self.asked += 1
        if not self.is_up:
            raise UnavailableError
        found = self.snapshot
        await self.gate.wait()
        if found is None or environment_id != found.environment_id:
            return None
        return unless if unless == found.version else found


class FakeRedis:
    """A copy that honours `at_least`, as the contract suite makes the real one."""

    def __init__(self) -> None:
        self.memory = MemoryStore()
        self.secret = b""
        self.holder = ""

    def trust(self, secret: bytes) -> None:
        self.secret = secret

    async def get(self, environment_id: str, at_least: Version | None = None) -> Snapshot | None:
        return await self.memory.get(environment_id, at_least)

    async def put(self, snapshot: Snapshot, *, replace: bool = False) -> bool:
        return await self.memory.put(snapshot, replace=replace)

    async def claim(self, environment_id: str, at_least: Version, token: str) -> Claim | None:
        if await self.get(environment_id, at_least) is not None:
            return Claim.COPY
        if self.holder not in ("", token):
            return Claim.WAIT
        self.holder = token
        return Claim.LOAD

    async def release(self, environment_id: str, token: str) -> None:
        if self.holder == token:
            self.holder = ""


class World:
    """A provider and everything around it."""

    def __init__(
        self,
        most: int = 1_000,
        followed: frozenset[str] = frozenset(),
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        self.postgres, self.redis, self.counts = FakePostgres(), FakeRedis(), Counts()
        self.checks = self.changes = 0
        self.ration = 0
        self.now = 100.0
        self.wall = NOW
        self.prepare: Callable[[Snapshot, datetime], Prepared] = prepare
        self.truth = Truth(lambda: self.now)
        self.held = Held(
            MemoryStore(),
            on_change=self._changed,
            prepare=self._prepare,
            now=lambda: self.wall,
            most=most,
            is_followed=followed.__contains__,
        )
        self.freshness = Freshness(self.truth, self.held, patience=patience)
        self.provider = Provider(
            held=self.held,
            redis=self.redis,
            postgres=self.postgres,
            truth=self.truth,
            freshness=self.freshness,
            counts=self.counts,
            ask_for_check=self._check,
            ask_about_unknown=self._ask,
        )

    def _prepare(self, snapshot: Snapshot, at: datetime) -> Prepared:
        return self.prepare(snapshot, at)

    def _check(self) -> None:
        self.checks += 1

    def _ask(self) -> bool:
        self.ration -= 1
        return self.ration >= 0

    def _changed(self) -> None:
        self.changes += 1

    def check(self, *, asked_at: float = float("inf")) -> None:
        """A check of the revisions answers."""
        found = self.postgres.snapshot
        versions = {} if found is None else {found.environment_id: found.version}
        epoch = EPOCH if found is None else found.epoch
        self.provider.verified(State(epoch, SECRET, versions), asked_at)

    async def get(self) -> Found:
        found = await self.provider.get(ENVIRONMENT_ID)
        assert found is not None
        return found

    async def served(self) -> int:
        return (await self.get()).prepared.snapshot.revision

    async def settle(self) -> None:
        """Let everything that was started come to its end."""
        for _ in range(50):
            await asyncio.sleep(0)

    async def come_to(self, revision: int) -> None:
        """A committed change in Postgres."""
        self.postgres.snapshot = snapshot(revision)


def always_fresh() -> Freshness:
    """As of a Postgres that answers."""
    truth = Truth()
    truth.is_reachable = True
    return Freshness(truth, Held(MemoryStore(), on_change=lambda: None))


def world_test(test: Callable[[World], Awaitable[None]]) -> Callable[[], None]:
    """Run with a world whose first check has answered."""

    async def run() -> None:
        world = World()
        world.check()
        await test(world)
        await world.provider.close()

    def wrapped() -> None:
        asyncio.run(run())

    wrapped.__name__ = test.__name__
    wrapped.__doc__ = test.__doc__
    return wrapped
