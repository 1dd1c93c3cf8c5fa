"""What is used: plain integers that requests add to, on the event loop, and nothing more.

They belong to an environment, not to one of its snapshots: a new snapshot's answers go on with the
same ones, so nothing has to be gathered when one is replaced.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from core.auth.api_keys import KeyKind
from core.cache.usage import BULK_FIELDS, field_of
from core.evaluation.result import Result
from core.evaluation.ruleset import Ruleset


@dataclass(slots=True, eq=False)
class Tally:
    """`number` only rises; `sent` is how much of it Redis has."""

    number: int = 0
    sent: int = 0


class Tallies:
    """Of one environment. Evaluations of one flag are by flag and variant, and made when they first
    come up; answers with all flags are by the kind of key."""

    __slots__ = ("_singles", "bulk")

    def __init__(self) -> None:
        self.bulk = {kind: Tally() for kind in KeyKind}
        self._singles: dict[tuple[str, str], Tally] = {}

    def of(self, result: Result) -> Tally:
        """Whoever keeps it must not outlive the flag: see `forget_all_but`."""
        names = result.key, result.variant
        found = self._singles.get(names)
        if found is None:
            found = self._singles[names] = Tally()
        return found

    def unsent(self) -> Iterator[tuple[str, Tally]]:
        """By the names of their fields in Redis."""
        for kind, tally in self.bulk.items():
            if tally.number != tally.sent:
                yield BULK_FIELDS[kind], tally
        for (key, variant), tally in self._singles.items():
            if tally.number != tally.sent:
                yield field_of(key, variant), tally

    def forget_all_but(self, flags: tuple[Ruleset, ...]) -> None:
        """Flags and variants that are not served any more, once Redis has what they counted."""
        served = {flag.key: flag.variants for flag in flags}
        self._singles = {
            (key, variant): tally
            for (key, variant), tally in self._singles.items()
            if variant in served.get(key, ()) or tally.number != tally.sent
        }


TalliesOf = Callable[[str], Tallies]  # by the environment's public id


def uncounted(_environment_id: str) -> Tallies:
    """Where nobody reads them."""
    return Tallies()
