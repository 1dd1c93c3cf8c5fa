"""What the provider asks of a store. One shared test suite holds all of them to it."""

from enum import IntEnum
from typing import Protocol

from core.snapshot.document import Snapshot, Version


class Store(Protocol):
    """Reads snapshots of environments, by public id."""

    async def get(self, environment_id: str, at_least: Version | None = None) -> Snapshot | None:
        """The snapshot, or None when there is none that is `at_least` this new.

        Postgres answers with the truth, whatever a hint promised: it never looks at `at_least`.
        """


class Cache(Store, Protocol):
    """A store that keeps copies."""

    async def put(self, snapshot: Snapshot, *, replace: bool = False) -> bool:
        """Keep it unless what is there is as new or newer; whether it was kept.

        `replace`: Postgres itself went back (a restore), so that newer is not truer.
        """


class Claim(IntEnum):
    """What a shared cache says to a reader that wants to load."""

    WAIT = 0  # another one loads
    LOAD = 1  # this one loads, for all
    COPY = 2  # there is a copy now


class SharedCache(Cache, Protocol):
    """A cache that others write to as well: it believes what is sealed with a secret."""

    def trust(self, secret: bytes) -> None: ...

    async def claim(self, environment_id: str, at_least: Version, token: str) -> Claim | None:
        """Ask to be the one that loads; None when the cache cannot say. It may lie."""

    async def release(self, environment_id: str, token: str) -> None:
        """The load is over, with whatever result."""


class Loader(Protocol):
    """The truth."""

    async def refresh(
        self, environment_id: str, *, unless: Version | None = None
    ) -> Snapshot | Version | None:
        """The snapshot; `unless` itself when the environment is still at that; None without one.

        Raises UnavailableError.
        """
