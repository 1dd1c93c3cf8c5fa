"""Waiting, after a write, until the readers that are up serve what it made: `--wait`."""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import redis

from core.cache.clients import open_client
from core.cache.invalidation import reason
from core.cache.receipts import Receipt, live_readers
from core.errors import CheckFailedError
from core.settings import Secret
from flagctl import output

if TYPE_CHECKING:
    from core.services.change import Outcome, RaisedRevision

_TIMEOUT_SECONDS: Final = 2.0  # for one answer of Redis
_FIRST_PAUSE: Final = 0.002  # seconds between two questions
_LONGEST_PAUSE: Final = 0.1
_MOST_SHOWN: Final = 100
_MOST_NAMED: Final = 10  # in an error; `flagctl readers` has them all


@dataclass(frozen=True, slots=True)
class Follower:
    """A reader that holds an environment; `milliseconds` after the commit it was seen to serve at
    least the revision that is waited for, None when it was not. `serves` is a revision."""

    host: str
    pid: int
    version: str
    environment: str
    revision: int
    serves: int | None
    milliseconds: float | None

    def line(self) -> str:
        who = f"{self.host} (pid {self.pid}, {self.version})"
        if self.milliseconds is not None:
            return f"{who} serves {self.environment} after {self.milliseconds:.0f} ms"
        return f"{who} still serves revision {self.serves} of {self.environment}"


def wait(redis_url: Secret, outcome: "Outcome", *, since: float, seconds: float) -> list[Follower]:
    """Those that held an environment of the change. `since` is the commit, by time.monotonic.

    Raises CheckFailedError when Redis cannot say: the change is committed, so it is no other kind.
    """
    try:
        with open_client(redis_url, timeout=_TIMEOUT_SECONDS) as client:
            return _Wait(client, outcome, since).run(until=since + seconds)
    except KeyboardInterrupt:
        raise CheckFailedError(
            "the change is committed; who serves it was not waited for"
        ) from None
    except (redis.RedisError, OSError, ValueError) as error:
        raise CheckFailedError(
            f"the change is committed, but Redis cannot say who serves it: {reason(error)}",
            hint="readers learn of it from Postgres all the same",
        ) from None


class _Wait:
    def __init__(self, client: Any, outcome: "Outcome", since: float) -> None:
        self._client = client
        self._epoch = outcome.epoch
        self._raised = outcome.raised
        self._since = since
        self._took: dict[tuple[str, str], float] = {}  # milliseconds, by reader and environment

    def run(self, *, until: float) -> list[Follower]:
        ids = [raised.public_id for raised in self._raised]
        up = {reader.id: reader for reader in live_readers(self._client, ids)}
        pause = _FIRST_PAUSE
        while behind := self._note(up.values()):
            if time.monotonic() + pause > until:
                break
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
            # Whoever says nothing any more is not waited for: it stopped, or it was forged.
            now = {r.id: r for r in live_readers(self._client, ids, only=sorted(behind))}
            up = {id_: now.get(id_, up[id_]) for id_ in up if id_ in now or id_ not in behind}
        return list(self._followers(up.values()))

    def _note(self, readers: Iterable[Receipt]) -> set[str]:
        """Take the time of those that follow; the ids of those that do not yet."""
        now = 1_000 * (time.monotonic() - self._since)
        behind = set()
        for reader in readers:
            for raised in self._raised:
                if self._follows(reader, raised):
                    self._took.setdefault((reader.id, raised.public_id), now)
                else:
                    behind.add(reader.id)
        return behind

    def _follows(self, reader: Receipt, raised: "RaisedRevision") -> bool:
        """One that does not hold the environment loads it anew when it is asked."""
        served = reader.serves.get(raised.public_id)
        return served is None or served.is_at_least(self._epoch, raised.revision, str(raised.stamp))

    def _followers(self, readers: Iterable[Receipt]) -> Iterable[Follower]:
        for reader in sorted(readers, key=lambda r: (r.host, r.pid, r.id)):
            for raised in self._raised:
                served = reader.serves.get(raised.public_id)
                if served is not None:
                    yield Follower(
                        *(reader.host, reader.pid, reader.version),
                        *(raised.environment, raised.revision, served.revision),
                        self._took.get((reader.id, raised.public_id)),
                    )


def report(followers: list[Follower], *, in_words: bool) -> None:
    """Say who follows, on stderr as all talk, if `in_words`. Raises CheckFailedError that names
    whoever does not."""
    late = [follower for follower in followers if follower.milliseconds is None]
    if in_words:
        on_time = [follower.line() for follower in followers if follower.milliseconds is not None]
        for line in on_time[:_MOST_SHOWN]:
            output.say(line)
        if len(on_time) > _MOST_SHOWN:
            output.say(f"and {len(on_time) - _MOST_SHOWN} more")
        if not followers:
            output.say("no reader that is up holds this environment")
    if late:
        raise CheckFailedError(
            "the change is committed, but not every reader serves it: "
            + "; ".join(follower.line() for follower in late[:_MOST_NAMED])
            + (f"; and {len(late) - _MOST_NAMED} more" if len(late) > _MOST_NAMED else ""),
            hint="`flagctl readers` shows what each serves; it goes on following by itself",
        )
