"""The copy in Redis: verified before anything in it is believed, and never waited for long."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from core import notifications
from core.cache import acl, keys, scripts
from core.settings import Secret
from core.snapshot import codec
from core.snapshot.document import Snapshot, Version
from readserver.redis_library import (
    NoBackoff,
    NoPermissionError,
    Redis,
    RedisError,
    ResponseError,
    Retry,
)
from readserver.stores.contract import Claim
from readserver.telemetry import Counts

TIMEOUT_SECONDS: Final = 0.25
LEASE_MILLISECONDS: Final = 5_000  # longer than anybody waits for whoever has it
_FIELDS: Final = ("epoch", "revision", "stamp", "mac", "data")
_LARGE: Final = 100_000  # bytes; from here on decoding would hold up the event loop
_CONNECTIONS: Final = 8
_LONGEST: Final = 100  # bytes of a field other than the data; the script replaces a longer one
_log = logging.getLogger(__name__)


def connect(url: Secret, *, timeout: float = TIMEOUT_SECONDS) -> "Redis":
    """A client that neither retries nor waits. Opens no connection yet. Raises ValueError."""
    return Redis.from_url(
        url.reveal(),
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        max_connections=_CONNECTIONS,
        client_name="flagctl-readserver",
        driver_info=None,  # naming the library takes rights, and commands that 7.0 does not know
    )


class RedisStore:
    """Snapshots in Redis, sealed with Postgres's secret. No method raises for what Redis does.

    After a failure it answers "nothing" without asking, until `mark_up` says that Redis is back:
    the subscription finds that out, so that no request has to.
    """

    def __init__(self, client: "Redis", counts: Counts) -> None:
        self._client = client
        self._counts = counts
        self._secret: bytes | None = None
        self._unusable: dict[str, scripts.Seen] = {}
        self._said_refused = False
        self._slots = asyncio.Semaphore(_CONNECTIONS)
        self.is_up = True

    def trust(self, secret: bytes) -> None:
        """The secret of the seals, from Postgres. Before it is known, nothing here is usable."""
        self._secret = secret

    def mark_up(self) -> None:
        self.is_up = True

    def mark_down(self) -> None:
        if self.is_up:
            _log.warning("Redis does not answer; reading on without it")
        self.is_up = False

    async def get(self, environment_id: str, at_least: Version | None = None) -> Snapshot | None:
        if self._secret is None:
            return None
        self._unusable.pop(environment_id, None)
        answer = await self._ask(
            lambda: self._client.hmget(keys.snapshot_key(environment_id), _FIELDS)
        )
        if not _is_entry(answer):
            return None
        epoch, revision, stamp, mac, data = (field or b"" for field in answer)
        snapshot = None
        if data:
            snapshot = await self._open(environment_id, epoch, revision, stamp, mac, data)
        if snapshot is None:
            self._note_unusable(environment_id, [epoch, revision, stamp, mac])
        elif at_least is not None and not snapshot.version.is_at_least(at_least):
            return None
        return snapshot

    async def _open(self, environment_id: str, *fields: bytes) -> Snapshot | None:
        epoch, revision, stamp, mac, data = fields
        try:
            version = Version(epoch.decode(), _number(revision), stamp.decode())
            sealed = codec.Sealed(environment_id, version, data, mac)
            assert self._secret is not None  # noqa: S101 - get() asked
            if len(data) < _LARGE:
                return codec.unseal(sealed, self._secret)
            return await asyncio.to_thread(codec.unseal, sealed, self._secret)
        except ValueError as error:  # RefusedError, and a revision or epoch that is none
            self._counts.refused += 1
            _log.warning(
                "a snapshot in Redis was refused; it will be replaced",
                extra={"environment_id": environment_id, "reason": type(error).__name__},
            )
            return None

    async def put(self, snapshot: Snapshot, *, replace: bool = False) -> bool:
        """Keep it unless newer; an unusable entry that `get` just saw is replaced as well."""
        if self._secret is None or not self.is_up:
            return False
        sealed = await asyncio.to_thread(codec.seal, snapshot, self._secret)
        arguments = scripts.put_arguments(
            snapshot.epoch,
            snapshot.revision,
            snapshot.stamp,
            mac=sealed.mac,
            data=sealed.data,
            seen=self._unusable.pop(snapshot.environment_id, None),
            replace=replace,
        )
        key = keys.snapshot_key(snapshot.environment_id)
        return bool(
            await self._ask(lambda: self._client.eval(scripts.PUT_IF_NEWER, 1, key, *arguments))
        )

    async def claim(self, environment_id: str, at_least: Version, token: str) -> Claim | None:
        """As the contract says; a word that is none counts as no answer."""
        self._unusable.pop(environment_id, None)
        names = keys.snapshot_key(environment_id), keys.lease_key(environment_id)
        wanted = at_least.epoch, at_least.revision, token, LEASE_MILLISECONDS
        answer = await self._ask(lambda: self._client.eval(scripts.CLAIM, 2, *names, *wanted))
        if not isinstance(answer, list) or not answer or answer[0] not in tuple(Claim):
            return None
        if len(answer) == 5:
            self._note_unusable(environment_id, answer[1:])
        return Claim(answer[0])

    def _note_unusable(self, environment_id: str, fields: list[Any]) -> None:
        """What was there before Postgres was asked: whatever it claims, its word is truer."""
        if all(isinstance(field, bytes) and len(field) <= _LONGEST for field in fields):
            self._unusable[environment_id] = scripts.Seen(*fields)

    async def release(self, environment_id: str, token: str) -> None:
        key = keys.lease_key(environment_id)
        await self._ask(lambda: self._client.eval(scripts.RELEASE, 1, key, token))

    async def tell(self, script: str, arguments: Sequence[str | int]) -> Any:
        """What a script of core.cache.receipts returns; None when Redis fails, which then says
        nothing about what answers requests."""
        send: Callable[..., Any] = self._client.execute_command
        return await self._ask(lambda: send("EVAL", script, *arguments), is_needed=False)

    async def _ask(self, command: Callable[[], Any], *, is_needed: bool = True) -> Any:
        """The answer, or None when Redis refuses the command, fails, or takes too long; after the
        last two it counts as down."""
        async with self._slots:  # whoever waits here is not kept waiting by Redis
            if not self.is_up:
                return None
            try:
                async with asyncio.timeout(TIMEOUT_SECONDS):
                    return await command()
            except ResponseError as error:
                # It answered: WRONGTYPE of one entry, READONLY… says nothing about the others.
                self._counts.redis_failures += 1
                self._say_refused(error)
            except (RedisError, OSError, TimeoutError):
                self._counts.redis_failures += 1
                if is_needed:
                    self.mark_down()
            return None

    def _say_refused(self, error: ResponseError) -> None:
        lacks_right = isinstance(error, NoPermissionError) or acl.says_so(str(error))
        if lacks_right and not self._said_refused:
            self._said_refused = True
            _log.warning("this user of Redis lacks a right; `flagctl cache acl` prints them")

    async def close(self) -> None:
        await self._client.aclose()


def _is_entry(answer: Any) -> bool:
    """Whether Redis answered with the fields of an entry; a revision is always among them."""
    return (
        isinstance(answer, list)
        and len(answer) == len(_FIELDS)
        and all(field is None or isinstance(field, bytes) for field in answer)
        and answer[1] is not None
    )


def _number(revision: bytes) -> int:
    """A revision as we write it. Raises ValueError: `+5`, `05` and `5_0` are numbers to Python."""
    if not revision.isdigit() or len(revision) > notifications.MOST_DIGITS:
        raise ValueError
    if str(int(revision)).encode() != revision:
        raise ValueError
    return int(revision)
