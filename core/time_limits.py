"""An end to work that input can make endless, as matching a regular expression."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from core.errors import InvalidInputError


@contextmanager
def time_limit(seconds: float, *, what: str) -> Iterator[None]:
    """Raise InvalidInputError when the block takes longer.

    By SIGALRM, which interrupts `re`; so only in the main thread of a program, where the command
    line runs. Elsewhere there is no limit.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise InvalidInputError(
            f"{what} takes too long", hint="simplify its pattern: repeats inside repeats explode"
        )

    previous = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
