"""Which flags nobody asks for, as far as what readers count in Redis can say that.

Silence proves nothing where nobody counted, or where answers hold all flags: then a flag is not
called unused, and a note says why.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from core.cache.usage import Usage, read
from core.errors import UnavailableError
from flagctl.asking_redis import ask

if TYPE_CHECKING:
    from core.queries.stale import Candidate
    from core.settings import Secret


@dataclass(slots=True)
class Uses:
    """`used` is the last day of each flag that was asked for by key. `bulk` are the kinds of key
    that got all flags; `gaps` say what else keeps us from knowing."""

    since: datetime
    used: dict[str, date] = field(default_factory=dict)
    bulk: set[str] = field(default_factory=set)
    gaps: list[str] = field(default_factory=list)

    def is_unused(self, flag: "Candidate") -> bool:
        """False also where nobody can tell."""
        return self._is_silent(flag) and not self._is_in_bulk(flag)

    def notes(self, flags: Iterable["Candidate"]) -> Iterator[str]:
        yield from self.gaps
        undecided = sum(self._is_silent(flag) and self._is_in_bulk(flag) for flag in flags)
        if undecided:
            kinds = " and ".join(sorted(self.bulk))
            yield (
                f"not asked for by key, but in answers with all flags that {kinds} keys got: "
                f"{undecided} more, of which nobody can tell whether they are used"
            )

    def _is_silent(self, flag: "Candidate") -> bool:
        """Whether nobody asked for it by key. What another flag requires is asked unseen."""
        is_old = flag.defined_at <= self.since  # who asked for an archived one was not counted
        return is_old and not (self.gaps or flag.required or flag.key in self.used)

    def _is_in_bulk(self, flag: "Candidate") -> bool:
        return "server" in self.bulk or ("client" in self.bulk and flag.client_visible)


def uses(
    address: "Secret | None", environments: Mapping[str, str], *, since: datetime, now: datetime
) -> Uses:
    """In these environments, random ids by key. Without Redis nothing is known, which is said."""
    found = Uses(since)
    if address is None:
        found.gaps.append("FLAGCTL_REDIS_URL is not set: what is unused cannot be said")
        return found

    def question(client: Any) -> list[tuple[str, Usage]]:
        return [
            (key, read(client, id_, since=since.date(), now=now))
            for key, id_ in environments.items()
        ]

    try:
        answers = ask(address, question)
        silent = [key for key, usage in answers if not _is_counted(usage)]
        if silent:
            others = "; --env names others" if len(silent) < len(answers) else ""
            found.gaps.append(
                f"nothing is counted in {', '.join(silent)}: what is unused cannot be said{others}"
            )
        for key, usage in answers:
            _add(found, key, usage, now)
    except UnavailableError as error:
        found.gaps.append(f"what is unused cannot be said: {error.message}")
    if not environments:
        found.gaps.append("there is no environment in which flags could be used")
    return found


def _is_counted(usage: Usage) -> bool:
    return usage.counted_since is not None and usage.heard_at is not None


def _add(found: Uses, environment: str, usage: Usage, now: datetime) -> None:
    if doubt := _doubt(environment, usage, found.since, now):
        found.gaps.append(doubt)
    if any(day.others for day in usage.days):
        found.gaps.append(
            f"{environment} has more flags in use than are counted: what is unused cannot be said"
        )
    for day in usage.days:
        found.bulk |= {kind for kind in ("server", "client") if getattr(day, kind)}
        for key in day.flags:
            found.used[key] = max(day.day, found.used.get(key, day.day))


def _doubt(environment: str, usage: Usage, since: datetime, now: datetime) -> str | None:
    """Why what is counted there does not tell."""
    began, heard_at = usage.counted_since, usage.heard_at
    if began is None or heard_at is None:
        return None  # said for all such environments together
    if not usage.is_of(now):
        return (
            f"readers last counted {environment} at {heard_at:%Y-%m-%d %H:%M} UTC, and it is "
            f"{now:%Y-%m-%d %H:%M} here: what is unused cannot be said, a clock is wrong"
        )
    if began > since:
        return (
            f"{environment} is counted since {began:%Y-%m-%d %H:%M} UTC only: what is unused for "
            "longer cannot be said"
        )
    return None
