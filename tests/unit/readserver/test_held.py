"""What is held keeps to its bounds."""

import asyncio

from core.errors import UnavailableError
from core.snapshot.document import Snapshot, Version
from core.snapshot.load import State
from readserver.provider import Found
from tests.support.providers import SECRET, FakePostgres, World
from tests.support.snapshots import EPOCH, snapshot


class ManyEnvironments(FakePostgres):
    """Has whatever is asked for."""

    async def refresh(
        self, environment_id: str, *, unless: Version | None = None
    ) -> Snapshot | Version | None:
        self.asked += 1
        return snapshot(1, environment_id=environment_id)


def test_environments_with_streams_stay() -> None:
    """They are not asked for, and letting one go would end its streams."""

    async def test() -> None:
        ids = [f"{number:016x}" for number in range(4)]
        world = World(most=2, followed=frozenset(ids[:2]))
        world.postgres = world.provider._postgres = ManyEnvironments()
        versions = {id_: snapshot(1).version for id_ in ids}
        world.provider.verified(State(EPOCH, SECRET, versions), float("inf"))

        async def held_after(id_: str) -> list[str]:
            assert await world.provider.get(id_) is not None
            await world.settle()
            return [id_ for id_ in ids if world.held.prepared(id_) is not None]

        assert await held_after(ids[0]) == ids[:1]
        assert await held_after(ids[2]) == [ids[0], ids[2]]
        assert await held_after(ids[3]) == [ids[0], ids[3]], "the one that is not followed goes"
        assert await held_after(ids[1]) == [ids[0], ids[1]]
        assert await held_after(ids[2]) == [ids[1], ids[2]], "memory is bounded all the same"
        await world.provider.close()

    asyncio.run(test())


def test_environments_that_nobody_asks_for_go_first() -> None:
    async def test() -> None:
        world = World(most=3)
        world.postgres = world.provider._postgres = ManyEnvironments()
        ids = [f"{number:016x}" for number in range(5)]
        versions = {id_: snapshot(1).version for id_ in ids}
        world.provider.verified(State(EPOCH, SECRET, versions), float("inf"))

        async def source_of(number: int) -> str:
            found = await world.provider.get(ids[number])
            assert found is not None
            await world.settle()
            return "memory" if found.source == "memory" else "store"

        asked = [0, 1, 2, 0, 3, 0, 2, 1]
        sources = [await source_of(number) for number in asked]
        assert sources == ["store"] * 3 + ["memory", "store", "memory", "memory", "store"]
        assert (len(world.held), len(world.held._prepared)) == (3, 3)
        assert world.changes >= 7, "the memo forgets what is let go"
        # All at once: each is answered, or told to come again; nobody's key is called unknown.
        found = await asyncio.gather(
            *(world.provider.get(id_) for id_ in ids), return_exceptions=True
        )
        assert all(isinstance(one, Found | UnavailableError) for one in found)
        await world.provider.close()

    asyncio.run(test())
