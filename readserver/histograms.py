"""Durations in fixed buckets: two additions for each, so that every request can afford it."""

from bisect import bisect_left
from typing import Final

# Seconds. Requests out of memory take a tenth of a millisecond, a check gives up after seconds.
BOUNDS: Final = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025),
    *(0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0),
)


class Histogram:
    """Since the process started. Used on the event loop only, so it needs no lock."""

    __slots__ = ("_counts", "total")

    def __init__(self) -> None:
        self._counts = [0] * (len(BOUNDS) + 1)
        self.total = 0.0  # seconds

    def observe(self, seconds: float, times: int = 1) -> None:
        self._counts[bisect_left(BOUNDS, seconds)] += times
        self.total += seconds * times

    def buckets(self) -> list[tuple[str, float]]:
        """As Prometheus has them: the bound, and how many took at most that."""
        found: list[tuple[str, float]] = []
        below = 0
        for bound, count in zip((*BOUNDS, float("inf")), self._counts, strict=True):
            below += count
            found.append(("+Inf" if bound == float("inf") else repr(bound), below))
        return found
