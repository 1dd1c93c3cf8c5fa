"""What a check says."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from core.errors import FlagctlError

Verdict = Literal["ok", "wrong", "skipped"]


@dataclass(frozen=True, slots=True)
class Check:
    """`what` was found, and where it is wrong (or was not looked at) `mend` says what to do."""

    check: str
    verdict: Verdict
    what: str
    mend: str = ""


def ok(check: str, what: str) -> Check:
    return Check(check, "ok", what)


def wrong(check: str, what: str, mend: str) -> Check:
    return Check(check, "wrong", what, mend)


def skipped(check: str, what: str, mend: str) -> Check:
    return Check(check, "skipped", what, mend)


def guarded(check: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """What `look` finds; an error of ours is a finding too, and ends only this one."""
    try:
        yield from look()
    except FlagctlError as error:
        mend = error.hint or "see that it runs, and can be reached from here"
        yield wrong(check, error.message, mend)
