"""Work that is done once: who waits, who goes, and what is kept."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from core.errors import UnavailableError
from readserver.once import Once


class Work:
    """Ends when it is told to, with its number."""

    def __init__(self) -> None:
        self.begun = 0
        self.fails = False
        self.may_end = asyncio.Event()

    async def __call__(self) -> int:
        self.begun += 1
        number = self.begun
        await self.may_end.wait()
        if self.fails:
            raise UnavailableError
        return number


def on_loop(test: Callable[[Once[int], Work], Awaitable[None]]) -> Callable[[], None]:
    async def run() -> None:
        await test(Once(), Work())

    def wrapped() -> None:
        asyncio.run(run())

    return wrapped


async def waiting(once: Once[int], work: Work, number: int) -> list[asyncio.Task[int]]:
    tasks = [asyncio.create_task(once.get(work)) for _ in range(number)]
    while not work.begun:
        await asyncio.sleep(0)
    return tasks


@on_loop
async def test_all_get_what_was_made_once(once: Once[int], work: Work) -> None:
    tasks = await waiting(once, work, 20)
    work.may_end.set()
    assert await asyncio.gather(*tasks) == [1] * 20
    assert await once.get(work) == 1
    assert work.begun == 1


@on_loop
async def test_who_goes_leaves_the_others_theirs(once: Once[int], work: Work) -> None:
    first, second = await waiting(once, work, 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    work.may_end.set()
    assert await second == 1
    third, *_ = await waiting(once, work, 1)
    assert await third == 1


@on_loop
async def test_a_fault_reaches_all_and_is_not_kept(once: Once[int], work: Work) -> None:
    work.fails = True
    tasks = await waiting(once, work, 3)
    work.may_end.set()
    for found in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(found, UnavailableError)
    work.fails = False
    assert await once.get(work) == 2
