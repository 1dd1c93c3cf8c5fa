"""The rate limit of client keys: whoever reads a web page has its key, so a key alone proves
nothing, and each address has a share of its own."""

import time
from collections.abc import Callable
from math import ceil
from typing import Final

from starlette.exceptions import HTTPException
from starlette.types import Scope

from readserver.client_address import ClientAddresses

_MOST_BUCKETS: Final = 50_000  # some 15 MB; the one that was not used for longest goes first


class ClientLimit:
    """A token bucket for each key and address, in this process.

    A bucket is one number: when it will be full again. One that is full is not missed, so nothing
    has to be cleaned up but what is beyond the bound.
    """

    def __init__(
        self,
        *,
        rate: float,
        burst: float,
        addresses: ClientAddresses,
        clock: Callable[[], float] = time.monotonic,
        most: int = _MOST_BUCKETS,
    ) -> None:
        """`rate` is requests a second; `burst`, at least 1, is what a full bucket has. `clock`
        gives seconds, as time.monotonic does."""
        self._refill = 1 / rate  # seconds for one request
        self._depth = burst / rate  # seconds from empty to full
        self._addresses = addresses
        self._clock = clock
        self._most = most
        self._full_at: dict[tuple[bytes, str], float] = {}  # the one used last is last

    def __len__(self) -> int:
        return len(self._full_at)

    def take(self, key: bytes, scope: Scope) -> bool:
        """Whether there was one; one that is refused costs nothing."""
        return self._wait(key, scope) <= 0

    def check(self, key: bytes, scope: Scope) -> None:
        """Take one. Raises HTTPException 429."""
        wait = self._wait(key, scope)
        if wait > 0:
            seconds = max(1, ceil(wait))
            raise HTTPException(
                429,
                f"too many requests with this client key: try again in {seconds} s",
                {"Retry-After": str(seconds)},
            )

    def _wait(self, key: bytes, scope: Scope) -> float:
        """Take one, or the seconds until there is one."""
        now = self._clock()
        bucket = (key, self._addresses.of(scope))
        full_at = max(now, self._full_at.pop(bucket, now))
        wait = full_at + self._refill - self._depth - now
        if wait <= self._refill / 1_000:  # sums of fractions are not exact
            full_at += self._refill
            wait = 0.0
        self._full_at[bucket] = full_at
        if len(self._full_at) > self._most:
            del self._full_at[next(iter(self._full_at))]
        return wait
