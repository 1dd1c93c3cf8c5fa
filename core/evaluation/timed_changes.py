"""The instants at which a flag's answer changes although nobody changes the flag.

Today that is its expiry alone. A schedule (the reserved key of the targeting document) will give
its instants here too: whoever asks for the last or the next one then need not change.
"""

from collections.abc import Iterable
from datetime import datetime

from core.evaluation.ruleset import Ruleset


def has_expired(expires_at: datetime | None, at: datetime) -> bool:
    """From its expiry on a flag is off: the instant itself is part of it."""
    return expires_at is not None and expires_at <= at


def around(flags: Iterable[Ruleset], at: datetime) -> tuple[datetime | None, datetime | None]:
    """The last instant that has come, and the next one; None where there is none."""
    instants = [instant for flag in flags for instant in _instants(flag)]
    last = max((i for i in instants if i <= at), default=None)
    return last, min((i for i in instants if i > at), default=None)


def _instants(flag: Ruleset) -> tuple[datetime, ...]:
    return () if flag.expires_at is None else (flag.expires_at,)
