"""Waiting for a condition of another process, which nothing announces."""

import time
from collections.abc import Callable

_POLL_SECONDS = 0.01


def until(condition: Callable[[], bool], *, timeout: float) -> bool:
    """Whether the condition came true within `timeout` seconds. It is asked at least once."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True
