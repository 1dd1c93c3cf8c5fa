"""`/metrics` with several workers: whichever is asked answers for all, each under its number.

They tell each other through memory that they share: every worker writes there what it would answer
itself, once a second and when it is asked. Nobody waits for anybody.
"""

import asyncio
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Protocol

from prometheus_client.core import Metric
from prometheus_client.samples import Sample

from readserver.board import Board

_INTERVAL_SECONDS: Final = 1.0


class Collector(Protocol):
    def collect(self) -> Iterable[Metric]: ...


@dataclass(frozen=True, slots=True)
class Shared:
    """A worker's collector that adds what the others wrote."""

    own: Collector
    board: Board
    index: int

    def collect(self) -> Iterator[Metric]:
        self.write()
        samples = [self._read(index) for index in range(self.board.workers)]
        for family in self.own.collect():
            merged = Metric(family.name, family.documentation, family.type)
            merged.samples = [
                Sample(name, {"worker": str(index), **labels}, value)
                for index, found in enumerate(samples)
                for name, labels, value in found.get(family.name, ())
            ]
            yield merged

    def write(self) -> None:
        found = {
            family.name: [(sample.name, sample.labels, sample.value) for sample in family.samples]
            for family in self.own.collect()
        }
        self.board.write(self.index, json.dumps(found).encode())

    def _read(self, index: int) -> dict[str, Any]:
        data = self.board.read(index)
        return json.loads(data) if data is not None else {}

    async def run(self) -> None:
        """Write now and then, for as long as this worker lives."""
        while True:
            self.write()
            await asyncio.sleep(_INTERVAL_SECONDS)
