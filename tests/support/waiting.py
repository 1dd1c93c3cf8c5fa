"""Waiting for what another process or thread does, without sleeping longer than it takes."""

import time
from collections.abc import Callable

import pytest


def eventually(condition: Callable[[], object], what: str, *, within: float = 10.0) -> None:
    """Fail the test unless `condition` becomes true within so many seconds."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"not within {within} s: {what}")
        time.sleep(0.005)
