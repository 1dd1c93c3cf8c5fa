"""Work that is done once, for all who ask for it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Once(Generic[T]):
    """What is made when somebody first asks, and kept as long as this is; a fault is not kept.
    Lives on one event loop."""

    __slots__ = ("_making",)

    def __init__(self) -> None:
        self._making: asyncio.Task[T] | None = None

    async def get(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `make` returned, to whoever was the first. Who stops waiting leaves the others
        theirs."""
        if self._making is None:
            self._making = asyncio.create_task(make())
            self._making.add_done_callback(self._made)
        return await asyncio.shield(self._making)

    def _made(self, making: "asyncio.Task[T]") -> None:
        if making.cancelled() or making.exception() is not None:
            self._making = None  # whoever asks next tries again
