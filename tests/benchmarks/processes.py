"""Whole processes timed in turn, so that a machine that slows down slows both."""

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Command = Callable[[int], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Ratio:
    """Medians over the rounds, in seconds, and the median of the ratios round by round."""

    name: str
    seconds: float
    baseline_seconds: float
    ratio: float
    bound: float


def compare(
    name: str,
    command: Command,
    baseline: Sequence[str],
    *,
    rounds: int,
    env: Mapping[str, str],
    bound: float,
) -> Ratio:
    """Run the two in turn, after one warm-up each. `command` is told the number of the round."""
    environment = {**os.environ, **env}
    pairs = [
        (_time(command(number), environment), _time(baseline, environment))
        for number in range(rounds + 1)
    ][1:]
    return Ratio(
        name,
        statistics.median(first for first, _ in pairs),
        statistics.median(second for _, second in pairs),
        statistics.median(first / second for first, second in pairs),
        bound,
    )


def _time(command: Sequence[str], environment: Mapping[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start
