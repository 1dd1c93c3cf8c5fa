"""How fast flags are evaluated, beside the libraries that a user would pick instead.

Usage: python -m tests.benchmarks.evaluation

The peers are the extra `bench`. Each is fed the same flags and must give the same answers before
anything is timed; they are asked by turns in one run. One that is missing is named.
"""

import gc
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from core import clock
from core.evaluation.engine import Engine
from core.snapshot.codec import decode, encode
from core.snapshot.document import Snapshot
from readserver.__main__ import collect_rarely
from tests.benchmarks.bench_flags import (
    KINDS,
    ROLLOUT,
    SHARE,
    STAFF_EVERY,
    User,
    kinds_of,
    snapshot,
    users,
)
from tests.benchmarks.figures import Figure, show
from tests.benchmarks.peers import PEERS, Evaluator, Flagctl

FLAGS = 1_000
ROUNDS = 3
_CALLS = 10_000  # of one evaluator in one round, at the least
_SHORTEST = 0.1  # seconds of one evaluator in one round
_SHARES_ASKED = 5  # rollouts whose share is counted over all users
_ALL = f"all {FLAGS:,} flags for one user"
_BOUNDS = dict.fromkeys(KINDS, 5.0) | {_ALL: 8.0}


class DifferentAnswersError(AssertionError):
    """A peer does not do the same work: its time would say nothing."""


def measure() -> list[dict[str, Any]]:
    return [asdict(figure) for figure in (*_comparisons(), *_loading(), _memory())]


def _comparisons() -> Iterator[Figure]:
    kinds, everybody = kinds_of(FLAGS), users()
    with tempfile.TemporaryDirectory(prefix="flagctl-bench-") as name, ExitStack() as stack:
        missing: list[str] = []
        evaluators: list[Evaluator] = []
        everyone: tuple[type[Evaluator], ...] = (Flagctl, *PEERS)
        for make in everyone:
            try:
                made = make(kinds, Path(name))
            except ImportError:
                missing.append(make.package)
                continue
            stack.callback(made.close)
            _check(made, kinds, everybody)
            evaluators.append(made)
        subjects = {e.package: [e.subject(user) for user in everybody] for e in evaluators}
        for column, bound in _BOUNDS.items():
            rounds = [
                {e.package: _seconds(e, column, kinds, subjects[e.package]) for e in evaluators}
                for _ in range(ROUNDS)
            ]
            medians = {p: statistics.median(r[p] for r in rounds) for p in rounds[0]}
            yield _row(column, medians, missing, bound)


def _row(column: str, medians: Mapping[str, float], missing: list[str], bound: float) -> Figure:
    """Names every evaluator: how long it takes, or that it is not there."""
    own = medians[Flagctl.package]
    peers = {package: took for package, took in medians.items() if package != Flagctl.package}
    times = [f"{p} {took * 1e6:,.2f} µs" for p, took in sorted(medians.items(), key=lambda i: i[1])]
    notes = [", ".join(times)]
    if missing:
        notes.append(f"missing: {', '.join(missing)} (the extra bench)")
    if not peers:
        notes.append("no peer is installed")
    ratio = min(peers.values()) / own if peers else None
    name = f"{column}: fastest peer / flagctl"
    return Figure(name, ratio, "×", bound, "; ".join(notes), at_least=True)


def _check(evaluator: Evaluator, kinds: Mapping[str, str], everybody: list[User]) -> None:
    """The same answers, where no bucket decides; else the same share. Raises
    DifferentAnswersError."""
    asked = [*everybody[: STAFF_EVERY * 2], User("stranger", "free", "elsewhere")]
    for user in asked:
        subject = evaluator.subject(user)
        together = evaluator.ask_all(subject)
        if together.keys() != kinds.keys():
            raise DifferentAnswersError(f"{evaluator.package} does not give all flags")
        for key, kind in kinds.items():
            found = evaluator.ask(key, subject)
            if type(found) is not bool or together[key] is not found:
                raise DifferentAnswersError(f"{evaluator.package}: {key} for {user.id}: {found!r}")
            if kind == ROLLOUT:
                wanted = True if user.is_staff else found
            else:
                wanted = kind == KINDS[0] or user.region != "elsewhere"
            if found is not wanted:
                raise DifferentAnswersError(f"{evaluator.package}: {key} for {user.id}: {found}")
    spread = [evaluator.subject(user) for user in everybody if not user.is_staff]
    rollouts = islice((key for key, kind in kinds.items() if kind == ROLLOUT), _SHARES_ASKED)
    for key in rollouts:
        share = sum(evaluator.ask(key, subject) for subject in spread) / len(spread) * 100
        if abs(share - SHARE) > 2:
            raise DifferentAnswersError(f"{evaluator.package} gives {key} to {share:.1f} %")


def _seconds(
    evaluator: Evaluator, column: str, kinds: Mapping[str, str], subjects: list[Any]
) -> float:
    """Of one call."""
    gc.collect()
    if column == _ALL:
        return _per_turn(evaluator.ask_all, [(subject,) for subject in subjects[:20]])
    keys = cycle([key for key, kind in kinds.items() if kind == column])
    return _per_turn(evaluator.ask, list(islice(zip(keys, cycle(subjects), strict=False), _CALLS)))


def _per_turn(call: Callable[..., Any], turns: list[tuple[Any, ...]]) -> float:
    """All turns, again until the clock is exact enough."""
    done, began = 0, time.perf_counter()
    while (took := time.perf_counter() - began) < _SHORTEST:
        for turn in turns:
            call(*turn)
        done += len(turns)
    return took / done


def _load(data: bytes) -> tuple[Snapshot, Engine]:
    """As a reader does it, which keeps both."""
    loaded = decode(data)
    return loaded, Engine(loaded.served.flags, loaded.served.segments, at=clock.now())


def _loading() -> Iterator[Figure]:
    for count, bound in ((FLAGS, 60.0), (FLAGS * 10, 700.0)):
        data = encode(snapshot(count))
        usual = _load_time(data)
        with _as_a_reader_collects():
            ms = _load_time(data)
        detail = f"{len(data) / 1e6:.1f} MB of JSON; {usual:.0f} ms as Python collects garbage"
        yield Figure(f"loading a snapshot of {count:,} flags", ms, "ms", bound, detail)


def _load_time(data: bytes) -> float:
    """Milliseconds."""
    took = []
    for _ in range(ROUNDS):
        gc.collect()
        began = time.perf_counter()
        loaded = _load(data)
        took.append(time.perf_counter() - began)
        del loaded
    return statistics.median(took) * 1e3


@contextmanager
def _as_a_reader_collects() -> Iterator[None]:
    threshold = gc.get_threshold()
    collect_rarely()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)


def _memory() -> Figure:
    """By tracemalloc: what Python's allocators hold for it once it is loaded."""
    count = FLAGS * 10
    data = encode(snapshot(count))
    gc.collect()
    tracemalloc.start()
    try:
        loaded = _load(data)
        gc.collect()
        held, peak = tracemalloc.get_traced_memory()
        del loaded
    finally:
        tracemalloc.stop()
    detail = f"by tracemalloc; {peak / 1e6:.1f} MB while loading"
    return Figure(f"memory of a snapshot of {count:,} flags", held / 1e6, "MB", 60.0, detail)


if __name__ == "__main__":
    show(measure())
    sys.exit(0)
