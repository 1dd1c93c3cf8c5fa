"""What the provider asks of a store. One shared test suite holds all of them to it."""

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


class SharedCache(Cache, Protocol):
    """A cache that others write to as well: it believes what is sealed with a secret."""

    def trust(self, secret: bytes) -> None: ...


class Loader(Protocol):
    """The truth."""

    async def refresh(
        self, environment_id: str, *, unless: Version | None = None
    ) -> Snapshot | Version | None:
        """The snapshot; `unless` itself when the environment is still at that; None without one.

        Raises UnavailableError.
        """
