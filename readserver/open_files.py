"""How many connections the process may hold: each is an open file."""

import resource
from contextlib import suppress
from typing import Final

_KEPT: Final = 256  # for requests, Postgres, Redis and files, whatever streams there are


def raise_limit() -> None:
    """As far as it may be without rights: shells give programs 1,024, which few programs mind."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):  # macOS has one more bound
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def room_for_streams() -> float:
    """How many streams leave enough for everything else."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return float("inf") if soft == resource.RLIM_INFINITY else max(0, soft - _KEPT)
