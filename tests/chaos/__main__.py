"""`make chaos`: read servers under random faults, and a checker that knows every commit.

python -m tests.chaos --minutes 10 --seed 7
python -m tests.chaos --minutes 3 --only "worker" --only "Postgres hangs"
"""

import argparse
import sys
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random, SystemRandom
from statistics import quantiles
from typing import Final

from core.errors import FlagctlError
from tests.chaos.clients import Client
from tests.chaos.faults import FAULTS
from tests.chaos.history import Committed, Sighting, faults_of, worst_lag
from tests.chaos.world import CHECK_INTERVAL, ENVIRONMENT, World, world

# A check that hangs is given up after half the interval; then an answer says that it is stale.
# The last second and a half is for two cores that do everything.
PROMISE: Final = CHECK_INTERVAL * 1.5 + 0.5 + 1.5
_WORKERS: Final = (1, 1, 2)  # of the readers
_CLIENTS: Final = {1: 1, 2: 4}  # by workers: a connection is with one of them
_CONVERGENCE: Final = 30.0  # seconds


@dataclass
class Soak:
    """A run: what happened in it."""

    world: World
    random: Random
    clients: list[Client]
    faults: list[str]  # their names, of which it draws
    begun: list[tuple[float, str]] = field(default_factory=list)
    spans: list[tuple[float, float, str]] = field(default_factory=list)
    writes: int = 0
    refused: int = 0

    def write_all_the_time(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                self.world.write()
                self.writes += 1
            except FlagctlError:
                self.refused += 1
            stop.wait(0.05)

    def break_things(self, until: float) -> None:
        """One fault after the other; one in three comes while another lasts."""
        while time.monotonic() < until:
            count = 2 if self.random.random() < 1 / 3 else 1
            names = self.random.sample(self.faults, min(count, len(self.faults)))
            began = time.monotonic()
            with ExitStack() as stack:
                for name in _compatible(names):
                    self.begun.append((time.monotonic(), name))
                    stack.enter_context(FAULTS[name](self.world, self.random))
                    time.sleep(self.random.uniform(0.2, 1.0))
                time.sleep(self.random.uniform(0.5, 4.0))
            self.spans.append((began, time.monotonic(), _subject(" ".join(names))))
            time.sleep(self.random.uniform(0.2, 3.0))

    def around(self, at: float) -> str:
        """The last faults that had begun by then."""
        last = [f"{name} {at - began:.1f} s before" for began, name in self.begun if began <= at]
        return f"({', '.join(last[-2:])})"

    def p99(self) -> dict[str, float]:
        """Milliseconds, by what was broken while it was asked; what a held reader answers late is
        no part of it."""
        took: dict[str, list[float]] = {}
        for client in self.clients:
            for asked_at, seconds in client.took:
                subject = next((s for a, b, s in self.spans if a <= asked_at <= b), "nothing")
                took.setdefault(subject, []).append(seconds * 1000)
        return {name: quantiles(all_, n=100)[98] for name, all_ in took.items() if len(all_) > 99}

    def converged(self) -> list[str]:
        """After the last fault every reader comes to the last revision."""
        newest = max(self.world.committed)
        deadline = time.monotonic() + _CONVERGENCE
        behind = self.clients
        while behind and time.monotonic() < deadline:
            behind = [c for c in behind if not c.sightings or c.sightings[-1].revision < newest]
            time.sleep(0.05)
        return [f"{c.seat.name} never came to revision {newest}" for c in behind]


def _compatible(names: list[str]) -> list[str]:
    """Not two that hold the same server or a reader: the second could not begin."""
    return list({_subject(name): name for name in names}.values())


def _subject(name: str) -> str:
    return next((word for word in ("Postgres", "Redis", "reader") if word in name), "both")


def run(minutes: float, seed: int, faults: list[str]) -> int:
    print(f"seed {seed}, {minutes:g} minutes, readers of {_WORKERS} workers", flush=True)
    stop_clients, stop_writer = threading.Event(), threading.Event()
    threads = sum(_CLIENTS[workers] for workers in _WORKERS) + 1
    with world(_WORKERS) as made, ThreadPoolExecutor(threads) as pool:
        clients = [Client(made, seat) for seat in made.seats for _ in range(_CLIENTS[seat.workers])]
        soak = Soak(made, Random(seed), clients, faults)
        running = [pool.submit(client.run, stop_clients) for client in soak.clients]
        running.append(pool.submit(soak.write_all_the_time, stop_writer))
        try:
            soak.break_things(time.monotonic() + minutes * 60)
            stop_writer.set()
            running[-1].result(30)
            settle(made)
            broken = soak.converged()
        finally:
            stop_writer.set()
            stop_clients.set()
        for future in running:
            future.result(30)
        return report(soak, broken)


def settle(made: World) -> None:
    """Commits whose answer was lost are in the log; a last change that everybody has to see."""
    made.write()
    query = (
        "SELECT r.revision, (e.after ->> 'value')::bigint FROM flagctl.audit_event_revisions r"
        " JOIN flagctl.audit_events e USING (organization_id, seq)"
        " WHERE r.environment = %s AND e.entity_type = 'config' AND e.entity_key = 'serial'"
        " AND e.after ? 'value'"
    )
    for revision, serial in made.installation.ask(query, [ENVIRONMENT]):
        made.committed.setdefault(revision, Committed(serial, time.monotonic()))


def report(soak: Soak, broken: list[str]) -> int:
    sightings: list[Sighting] = [s for client in soak.clients for s in client.sightings]
    failures = [failure for client in soak.clients for failure in client.failures]
    first = min(soak.world.committed)
    judged = [s for s in sightings if s.revision >= first]
    worst = worst_lag(judged, soak.world.committed)
    broken += faults_of(judged, soak.world.committed, promise=PROMISE)
    for name, count in sorted(Counter(name for _, name in soak.begun).items()):
        print(f"  {count:4} × {name}")
    print(
        f"{soak.writes} changes committed, {soak.refused} refused;"
        f" {sum(len(c.took) for c in soak.clients)} answers,"
        f" {sum(s.is_stale for s in sightings)} said that they are stale;"
        f" the oldest that did not: {worst.seconds:.2f} s {soak.around(worst.asked_at)}"
        f" (promise {PROMISE:g} s); {len(failures)} failed reads, {len(broken)} broken promises"
    )
    p99 = soak.p99()
    healthy = p99.get("nothing", float("nan"))
    shown = ", ".join(f"{name} {ms:.1f} ({ms / healthy:.1f} ×)" for name, ms in sorted(p99.items()))
    print(f"p99 in ms, by what was broken: {shown}")
    for line in [*failures[:20], *broken[:20]]:
        print(f"  ! {line}")
    return 1 if failures or broken or not judged else 0


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--only", action="append", default=[], help="a part of a fault's name")
    given = parser.parse_args()
    faults = [n for n in sorted(FAULTS) if not given.only or any(o in n for o in given.only)]
    if not faults:
        parser.error(f"there is no such fault; there are: {', '.join(sorted(FAULTS))}")
    seed = given.seed if given.seed is not None else SystemRandom().randrange(10**6)
    return run(given.minutes, seed, faults)


if __name__ == "__main__":
    sys.exit(main())
