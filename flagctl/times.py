"""Times as people say them. Documents have exact ones."""

from datetime import datetime
from typing import Final

from core import clock

_UNITS: Final = (("y", 31_536_000), ("d", 86_400), ("h", 3_600), ("min", 60))


def relative(moment: datetime | None, *, now: datetime | None = None) -> str:
    """`now`, `5 min ago`, `3 h ago`, `in 12 d`; nothing for None."""
    if moment is None:
        return ""
    seconds = ((now or clock.now()) - moment).total_seconds()
    for unit, length in _UNITS:
        if abs(seconds) >= length:
            amount = f"{int(abs(seconds) // length)} {unit}"
            return f"{amount} ago" if seconds > 0 else f"in {amount}"
    return "now"
