"""What readers said, held against what was committed: pure, so that a test can try to fool it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sighting:
    """One answer: when it was asked for (monotonic seconds), by which worker, on which connection.

    `value` is what the answer says of the serial number of the change; a map of flags has only its
    last bits, so it is `value % modulus`.
    """

    asked_at: float
    worker: str
    connection: int
    revision: int
    value: int
    modulus: int
    is_stale: bool
    is_excused: bool = False  # the worker was held still, or has just been


@dataclass(frozen=True, slots=True)
class Committed:
    """A change: the serial number that it wrote, and when its commit was known."""

    serial: int
    known_at: float


def faults_of(
    sightings: Iterable[Sighting], committed: Mapping[int, Committed], *, promise: float
) -> list[str]:
    """Every broken promise, in words. `promise` is how many seconds an answer that does not say
    that it is stale may lag behind a commit, or behind the last one that did say so."""
    said: list[str] = []
    of_worker: dict[str | int, int] = {}
    of_connection: dict[str | int, int] = {}
    newest, last_stale = _Newest(committed), dict[str, float]()
    for sighting in sorted(sightings, key=lambda s: s.asked_at):
        said += _wrong_state(sighting, committed)
        said += _went_back(sighting, of_worker, sighting.worker, "worker")
        said += _went_back(sighting, of_connection, sighting.connection, "connection")
        due = newest.at(sighting.asked_at - promise)
        if sighting.is_stale or sighting.is_excused:
            last_stale[sighting.worker] = sighting.asked_at
        elif (
            sighting.revision < due
            and sighting.asked_at - last_stale.get(sighting.worker, 0.0) > promise
        ):
            said.append(
                f"{sighting.worker} answered revision {sighting.revision} more than"
                f" {promise:g} s after {due} was committed, and did not say that it is stale"
            )
    return said


@dataclass(frozen=True, slots=True)
class Lag:
    """How long after a commit an answer did not know it, and when it was asked for."""

    seconds: float = 0.0
    asked_at: float = 0.0


def worst_lag(sightings: Iterable[Sighting], committed: Mapping[int, Committed]) -> Lag:
    """Of the answers that did not say that they are stale, since their worker last said so."""
    worst, last_stale = Lag(), dict[str, float]()
    for sighting in sorted(sightings, key=lambda s: s.asked_at):
        missed = committed.get(sighting.revision + 1)
        if sighting.is_stale or sighting.is_excused:
            last_stale[sighting.worker] = sighting.asked_at
        elif missed is not None:
            since = max(missed.known_at, last_stale.get(sighting.worker, 0.0))
            seconds = sighting.asked_at - since
            worst = max(worst, Lag(seconds, sighting.asked_at), key=lambda lag: lag.seconds)
    return worst


def _wrong_state(sighting: Sighting, committed: Mapping[int, Committed]) -> list[str]:
    state = committed.get(sighting.revision)
    if state is None:
        return [f"{sighting.worker} answered revision {sighting.revision}, which nobody committed"]
    if state.serial % sighting.modulus != sighting.value:
        return [
            f"{sighting.worker} answered {sighting.value} at revision {sighting.revision},"
            f" where {state.serial % sighting.modulus} was committed"
        ]
    return []


def _went_back(
    sighting: Sighting, seen: dict[str | int, int], key: str | int, what: str
) -> list[str]:
    before = seen.get(key, 0)
    seen[key] = max(before, sighting.revision)
    if sighting.revision < before:
        return [f"{what} {key} went back from revision {before} to {sighting.revision}"]
    return []


class _Newest:
    """The newest revision whose commit was known at a time, asked with times that only rise."""

    def __init__(self, committed: Mapping[int, Committed]) -> None:
        self._left = sorted((state.known_at, revision) for revision, state in committed.items())
        self._left.reverse()
        self._newest = 0

    def at(self, moment: float) -> int:
        while self._left and self._left[-1][0] <= moment:
            self._newest = max(self._newest, self._left.pop()[1])
        return self._newest
