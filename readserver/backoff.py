"""Growing, jittered pauses between attempts."""

import asyncio
import random
from typing import Final

_FIRST: Final = 0.05  # seconds
_LONGEST: Final = 1.0


class Backoff:
    """Starts at 50 ms, doubles to one second, and is spread: readers do not march in step."""

    def __init__(self) -> None:
        self._next = _FIRST

    @property
    def is_first(self) -> bool:
        """Whether nothing was waited for since the last success."""
        return self._next == _FIRST

    def reset(self) -> None:
        self._next = _FIRST

    def take(self) -> float:
        """The seconds to wait now; the next are more."""
        pause = self._next * random.uniform(0.75, 1.25)  # noqa: S311 - no secret
        self._next = min(self._next * 2, _LONGEST)
        return pause

    async def wait(self) -> None:
        await asyncio.sleep(self.take())
