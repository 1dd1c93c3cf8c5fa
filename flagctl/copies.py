"""The copies in Redis against Postgres, as a read server would judge them.

It takes the readers' login: the secret of the seals is for readers alone, and no other login sees
every organization.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, LiteralString

import psycopg
import redis

from core.cache import entries, scripts
from core.cache.clients import open_client
from core.cache.entries import Entry
from core.cache.invalidation import reason
from core.db import open_driver_connection, translated
from core.errors import UnavailableError
from core.settings import Settings
from core.snapshot import codec
from core.snapshot.document import Snapshot, Version
from core.snapshot.load import STATE_SQL, State, load, state_of

_TIMEOUT_SECONDS: Final = 5.0
_TRIES: Final = 5  # a commit comes before Redis is told of it, and a copy a moment later
_PAUSE_SECONDS: Final = 0.1
_NAMES: Final = (
    "SELECT e.public_id, o.key || '/' || e.key FROM flagctl.environments e"
    " JOIN flagctl.organizations o ON o.id = e.organization_id ORDER BY o.key, e.id"
)


class Verdict(StrEnum):
    """What is there, compared with Postgres."""

    SAME = "same"
    NONE = "none"  # readers fill it when they need it
    MARKED = "marked"  # older copies are no longer good, and there is no newer one yet
    OLDER = "older"
    NEWER = "newer"
    UNSEALED = "unsealed"  # no reader wrote it, or one of another installation
    DIFFERENT = "different"

    @property
    def is_right(self) -> bool:
        return self in (Verdict.SAME, Verdict.NONE, Verdict.MARKED)


@dataclass(frozen=True, slots=True)
class Copy:
    """An environment (organization/key) with what Postgres and Redis have of it. The digests are
    SHA-256 of what is served and what authenticates; None where it was not compared."""

    environment: str
    id: str
    verdict: Verdict
    revision: int
    copy_revision: int | None
    size: int
    digest: str | None = None
    copy_digest: str | None = None


class Copies:
    """Both stores, open."""

    def __init__(self, connection: "psycopg.Connection[Any]", client: Any) -> None:
        self._connection = connection
        self._client = client
        self._state = self._read_state()
        names = dict(self._rows(_NAMES))
        # An archived organization's environments are named, and not served.
        self.names = {id_: name for id_, name in names.items() if id_ in self._state.versions}

    def status(self, id_: str) -> Copy:
        """By what the entry says of itself; nothing is loaded."""
        version = self._state.versions[id_]
        entry = entries.read(self._client, id_)
        verdict = _claimed(entry, version)
        return self._copy(id_, verdict, version.revision, entry)

    def verify(self, id_: str) -> Copy | None:
        """By its seal and all that is in it; None for an environment that was deleted meanwhile."""
        found = self._compare(id_)
        for _ in range(_TRIES - 1):
            if found is None or found.verdict.is_right:
                break
            time.sleep(_PAUSE_SECONDS)
            found = self._compare(id_)
        return found

    def repair(self, id_: str) -> Copy | None:
        """Put in what Postgres has, unless there is something newer by now; then compare."""
        found = self._compare(id_)
        if found is not None and found.verdict is not Verdict.SAME:
            self._replace(id_)
            found = self.verify(id_)
        return found

    def flush(self, id_: str) -> None:
        """Replace it by a mark, not by nothing: whoever is slow must not put an older one there."""
        entry = entries.read(self._client, id_)
        if entry is not None and (entry.revision or 0) > self._state.versions[id_].revision:
            self._state = self._read_state()  # it changed meanwhile, or somebody made it up
        if (version := self._state.versions.get(id_)) is not None:
            arguments = scripts.put_arguments(
                *(version.epoch, version.revision, version.stamp),
                mac=b"",
                data=b"",
                seen=entry.seen if entry is not None else None,
            )
            entries.put(self._client, id_, arguments)

    def _read_state(self) -> State:
        return state_of(self._rows(STATE_SQL))

    def _rows(self, query: LiteralString) -> list[tuple[Any, ...]]:
        with translated(), self._connection.transaction():
            return self._connection.execute(query).fetchall()

    def _load(self, id_: str) -> Snapshot | None:
        found = load(self._connection, id_)
        assert not isinstance(found, Version)  # noqa: S101 - only with `unless`
        return found

    def _compare(self, id_: str) -> Copy | None:
        snapshot = self._load(id_)
        if snapshot is None:
            return None
        entry = entries.read(self._client, id_)
        verdict = _claimed(entry, snapshot.version)
        digest, copy_digest = _digest(snapshot), None
        if entry is not None and verdict is Verdict.SAME:
            copy_digest = self._copy_digest(id_, entry, snapshot)
            if copy_digest != digest:
                verdict = Verdict.UNSEALED if copy_digest is None else Verdict.DIFFERENT
        return self._copy(id_, verdict, snapshot.revision, entry, digest, copy_digest)

    def _copy_digest(self, id_: str, entry: Entry, snapshot: Snapshot) -> str | None:
        """None when its seal is wrong; what is far too long is not even fetched."""
        if entry.size > 2 * len(codec.encode(snapshot)) + 10_000:
            return None
        data = entries.data(self._client, id_)
        try:
            sealed = codec.Sealed(id_, snapshot.version, data, entry.mac)
            return _digest(codec.unseal(sealed, self._state.secret))
        except codec.RefusedError:
            return None

    def _replace(self, id_: str) -> None:
        # Seen before Postgres is asked: what is written meanwhile is not replaced by it.
        entry = entries.read(self._client, id_)
        snapshot = self._load(id_)
        if snapshot is not None:
            sealed = codec.seal(snapshot, self._state.secret)
            arguments = scripts.put_arguments(
                *(snapshot.epoch, snapshot.revision, snapshot.stamp),
                mac=sealed.mac,
                data=sealed.data,
                seen=entry.seen if entry is not None else None,
            )
            entries.put(self._client, id_, arguments)

    def _copy(
        self,
        id_: str,
        verdict: Verdict,
        revision: int,
        entry: Entry | None,
        digest: str | None = None,
        copy_digest: str | None = None,
    ) -> Copy:
        known, size = (None, 0) if entry is None else (entry.revision, entry.size)
        return Copy(self.names[id_], id_, verdict, revision, known, size, digest, copy_digest)


def _claimed(entry: Entry | None, true: Version) -> Verdict:
    """By what the entry says; one without data is a mark, whatever it claims."""
    if entry is None:
        return Verdict.NONE
    if entry.revision is None:
        return Verdict.UNSEALED
    if not entry.size:
        return Verdict.MARKED
    if entry.epoch != true.epoch:
        return Verdict.DIFFERENT
    if entry.revision != true.revision:
        return Verdict.OLDER if entry.revision < true.revision else Verdict.NEWER
    return Verdict.SAME if entry.stamp == true.stamp else Verdict.DIFFERENT


def _digest(snapshot: Snapshot) -> str:
    return hashlib.sha256(codec.encode(snapshot)).hexdigest()


@contextmanager
def opened(settings: Settings) -> Iterator[Copies]:
    """Raises UnavailableError for either store, InvalidInputError for a setting that is missing."""
    database, address = settings.require("reader_database_url"), settings.require("redis_url")
    try:
        with (
            open_client(address, timeout=_TIMEOUT_SECONDS) as client,
            open_driver_connection(database, application_name="flagctl cache") as connection,
        ):
            yield Copies(connection, client)
    except (redis.RedisError, OSError, ValueError) as error:
        raise UnavailableError(
            reason(error), hint="look at FLAGCTL_REDIS_URL, and whether Redis runs"
        ) from None


def each(ids: Iterable[str], work: Callable[[str], Copy | None]) -> list[Copy]:
    """Those that are still there."""
    found = (work(id_) for id_ in ids)
    return [copy for copy in found if copy is not None]
