"""Who is cut off for not reading: told by what is left to be written, look by look."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from readserver.write_watch import LEAST_READ, WriteWatch


class Transport:
    """Has so many bytes left at each look, and nothing after them."""

    def __init__(self, left: Iterator[int]) -> None:
        self._left = left
        self.done = asyncio.Event()
        self.is_aborted = False

    def get_write_buffer_size(self) -> int:
        left = next(self._left, 0)
        if left == 0:
            self.done.set()
        return left

    def abort(self) -> None:
        self.is_aborted = True
        self.done.set()


@pytest.mark.parametrize(
    ("left", "is_aborted"),
    [
        ([5 * LEAST_READ, 5 * LEAST_READ], True),
        ([5 * LEAST_READ, 4 * LEAST_READ + 1], True),
        ([5 * LEAST_READ, 6 * LEAST_READ], True),
        ([10, 10], True),
        ([10, 1], True),
        # Each look that goes on asks twice: was enough read, and what is left now.
        ([3 * LEAST_READ, *[2 * LEAST_READ] * 2, *[LEAST_READ] * 2, 0], False),
        ([0], False),
    ],
)
def test_enough_has_to_be_read(left: list[int], is_aborted: bool) -> None:
    async def run() -> None:
        transport: Any = Transport(iter(left))
        watch = WriteWatch(transport, 0.001)
        watch.start()
        await transport.done.wait()
        assert transport.is_aborted is is_aborted
        assert watch._timer is None, "it looks no more"

    asyncio.run(run())
