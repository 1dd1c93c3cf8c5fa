"""The slow path of what is served: one `/v1/snapshot` for all who ask for it."""

import asyncio
import threading
from typing import Any

import pytest

from core.auth.api_keys import KeyKind, digest
from core.snapshot.document import Auth, KeyGrant, Snapshot
from readserver.answers import SNAPSHOT, Variants, prepare_snapshot
from readserver.auth import is_canonical
from readserver.client_address import ClientAddresses
from readserver.endpoints import served
from readserver.endpoints.served import ServedEndpoint
from readserver.fast_path import Memo
from readserver.rate_limit import ClientLimit
from readserver.tallies import Tally
from tests.support.providers import World, world_test
from tests.support.snapshots import CLIENT_KEY, KEY, UNKNOWN_KEY, snapshot

SPELLINGS = [
    form.encode()
    for key in (KEY, UNKNOWN_KEY)
    for form in (key, f"Bearer {key}", f"bearer {key}", f"BEARER {key}")
]
GRANTS = {
    digest(KEY): KeyGrant("aaaa", KeyKind.SERVER, None),
    digest(UNKNOWN_KEY): KeyGrant("dddd", KeyKind.SERVER, None),
    digest(CLIENT_KEY): KeyGrant("bbbb", KeyKind.CLIENT, None),
}


class Rendering:
    """Counts how often a snapshot is rendered, each time when it may be; some fail."""

    def __init__(self) -> None:
        self.begun = 0
        self.fails = False
        self.may_go_on = threading.Event()

    def __call__(self, snapshot: Snapshot, tally: Tally, *, vary: bytes) -> Variants:
        self.begun += 1
        assert self.may_go_on.wait(60)
        if self.fails:
            raise MemoryError
        return prepare_snapshot(snapshot, tally, vary=vary)


class Asking:
    """The endpoint over a provider with two server keys and one client key."""

    def __init__(self, world: World, rendering: Rendering) -> None:
        world.postgres.snapshot = snapshot(auth=Auth(GRANTS))
        self._world = world
        self.rendering = rendering
        self.memo = Memo()
        limit = ClientLimit(rate=1, burst=1, addresses=ClientAddresses(()))
        self._endpoint = ServedEndpoint(
            world.provider, world.freshness, self.memo, world.counts, limit, b"Authorization"
        )

    async def ask(self, credential: bytes) -> tuple[int, bytes]:
        sent: list[Any] = []

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"authorization", credential)]
        scope = {"type": "http", "method": "GET", "path": SNAPSHOT, "headers": headers}
        await self._endpoint(scope | {"query_string": b"", "client": None}, send)
        return sent[0]["status"], sent[1]["body"]

    async def begin(self, credentials: list[bytes]) -> "list[asyncio.Task[tuple[int, bytes]]]":
        """All have asked, and one of them had it begun."""
        await self._world.get()  # so that nobody waits for the stores
        tasks = [asyncio.create_task(self.ask(credential)) for credential in credentials]
        async with asyncio.timeout(60):
            while not self.rendering.begun:
                await asyncio.sleep(0)
        return tasks


@pytest.fixture
def rendering(monkeypatch: pytest.MonkeyPatch) -> Rendering:
    made = Rendering()
    monkeypatch.setattr(served, "prepare_snapshot", made)
    return made


def test_one_is_made_for_all_keys_and_spellings(rendering: Rendering) -> None:
    @world_test
    async def test(world: World) -> None:
        asking = Asking(world, rendering)
        tasks = await asking.begin(SPELLINGS * 5)
        rendering.may_go_on.set()
        answers = set(await asyncio.gather(*tasks))
        assert answers == {await asking.ask(KEY.encode())}
        assert [status for status, _ in answers] == [200]
        assert rendering.begun == 1
        remembered = asking.memo.by_path[SNAPSHOT]
        assert sorted(remembered) == sorted(filter(is_canonical, SPELLINGS))
        assert len({id(entry.variants) for entry in remembered.values()}) == 1
        assert (await asking.ask(CLIENT_KEY.encode()))[0] == 403

    test()


def test_a_change_has_its_own(rendering: Rendering) -> None:
    @world_test
    async def test(world: World) -> None:
        asking = Asking(world, rendering)
        rendering.may_go_on.set()
        first = await asking.ask(KEY.encode())
        world.postgres.snapshot = snapshot(2, auth=Auth(GRANTS))
        world.check()
        while await world.served() != 2:
            await asyncio.sleep(0)
        assert await asking.ask(KEY.encode()) != first
        assert rendering.begun == 2

    test()


def test_a_client_that_goes_takes_nobody_along(rendering: Rendering) -> None:
    @world_test
    async def test(world: World) -> None:
        asking = Asking(world, rendering)
        first, *others = await asking.begin(SPELLINGS)
        first.cancel()
        await asyncio.wait({first})
        rendering.may_go_on.set()
        assert {status for status, _ in await asyncio.gather(*others)} == {200}
        assert rendering.begun == 1

    test()


def test_a_fault_is_not_kept(rendering: Rendering) -> None:
    @world_test
    async def test(world: World) -> None:
        asking = Asking(world, rendering)
        rendering.fails = True
        tasks = await asking.begin(SPELLINGS)
        rendering.may_go_on.set()
        assert {status for status, _ in await asyncio.gather(*tasks)} == {500}
        rendering.fails = False
        assert (await asking.ask(KEY.encode()))[0] == 200
        assert rendering.begun == 2

    test()
