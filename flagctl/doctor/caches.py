"""Redis: whether it can be used, by a user who may do what is needed and no more, and whether its
copies are those of Postgres.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import redis

from core.addresses import is_local
from core.cache import keys
from core.cache.clients import open_client
from core.cache.invalidation import reason
from core.db import open_driver_connection, translated
from core.settings import Secret, Settings
from core.snapshot.load import STATE_SQL, state_of
from flagctl.doctor.checks import Check, guarded, ok, skipped, wrong

_OLDEST: Final = (6, 2)
_TIMEOUT_SECONDS: Final = 2.0
_NEWER: Final = "run Redis 6.2 or later, or Valkey"
# Harmless, and nobody's of ours: a command, a key and a channel that no user of flagctl's has.
_NEEDLESS: Final = (
    ("DBSIZE",),
    ("HMGET", "flagctl-doctor", "epoch"),
    ("PUBLISH", "flagctl-doctor", ""),
)
_ACL: Final = "`flagctl cache acl` prints the users that Redis needs"
# Everything that a write does there, on an entry that is nobody's and gone at once.
_EVERYTHING: Final = (
    "redis.call('TYPE', KEYS[1]) redis.call('HSET', KEYS[1], 'epoch', '')"
    " redis.call('HMGET', KEYS[1], 'epoch') redis.call('EXPIRE', KEYS[1], 1)"
    " redis.call('DEL', KEYS[1]) return redis.call('ZREVRANGE', KEYS[1], 0, 0)"
)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What a copy says it is."""

    epoch: str
    revision: int


def examine(settings: Settings) -> Iterator[Check]:
    if settings.redis_url is None:
        yield skipped("redis", "not set", "set FLAGCTL_REDIS_URL to have it looked at")
        return
    try:
        client = open_client(settings.redis_url, timeout=_TIMEOUT_SECONDS)
        with client:
            yield _server(client)
            yield _rights(client)
            yield from guarded("cache", partial(_copies, client, settings))
    except (redis.RedisError, OSError, ValueError) as error:
        if "unknown command" in str(error):  # HELLO, with which every connection begins
            yield wrong("redis", "it is older than Redis 6", _NEWER)
            return
        yield wrong("redis", reason(error), "look at FLAGCTL_REDIS_URL, and whether Redis runs")


def _server(client: Any) -> Check:
    """HELLO is everybody's; INFO is not."""
    said = client.execute_command("HELLO")
    if not isinstance(said, Mapping):
        said = dict(zip(said[::2], said[1::2], strict=True))
    facts = {_text(key): _text(value) for key, value in said.items()}
    version = facts.get("version", "")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    name = f"{facts.get('server', 'redis')} {version}"
    if numbers < _OLDEST:
        return wrong("redis", f"{name} is too old", _NEWER)
    if facts.get("role", "master") != "master":
        return wrong("redis", f"{name} is a replica", "let FLAGCTL_REDIS_URL name the primary")
    return _transport(name, client.connection_pool)


def _transport(name: str, pool: Any) -> Check:
    """How it is reached; the password of its user goes the same way."""
    address: Mapping[str, Any] = pool.connection_kwargs
    if "path" in address or is_local(str(address.get("host", ""))):
        return ok("redis", f"{name}, on this machine")
    if not issubclass(pool.connection_class, redis.SSLConnection):
        mend = "say rediss:// in FLAGCTL_REDIS_URL"
        return wrong("redis", f"{name}, over the network without TLS", mend)
    wanted = str(address.get("ssl_cert_reqs", "required")).lower().removeprefix("cert_")
    if wanted != "required" or not address.get("ssl_check_hostname", True):
        mend = "leave ssl_cert_reqs and ssl_check_hostname out of FLAGCTL_REDIS_URL"
        return wrong("redis", f"{name}, over TLS, but whose it is is not verified", mend)
    return ok("redis", f"{name}, over TLS")


def _rights(client: Any) -> Check:
    try:
        client.eval(_EVERYTHING, 1, keys.snapshot_key("doctor"))
    except redis.ResponseError:
        return wrong("redis, rights", "this user lacks a right", _ACL)
    if any(_may(client, *words) for words in _NEEDLESS):
        return wrong("redis, rights", "this user may do more than is needed", _ACL)
    return ok("redis, rights", "this user may do what is needed, and no more")


def _may(client: Any, *words: str) -> bool:
    try:
        client.execute_command(*words)
    except redis.ResponseError:
        return False
    return True


def _copies(client: Any, settings: Settings) -> Iterator[Check]:
    """Postgres is asked before and after: what changes meanwhile is nobody's fault."""
    url = settings.reader_database_url
    if url is None:
        mend = "set FLAGCTL_READER_DATABASE_URL: the readers' login may compare"
        yield skipped("cache", "not compared with Postgres", mend)
        return
    before = _versions(settings.require("reader_database_url"))
    entries = {name: _entry(client, name) for name in before}
    after = _versions(settings.require("reader_database_url"))
    there = {name: entry for name, entry in entries.items() if entry is not None}
    same = {n: e for n, e in there.items() if n in after and e.epoch == after[n].epoch}
    ahead = [n for n, e in same.items() if e.revision > after[n].revision]
    behind = [n for n, e in same.items() if e.revision < before[n].revision]
    if ahead:
        what = f"{len(ahead)} copies are newer than Postgres, as after restoring a dump"
        yield wrong("cache", what, "run `flagctl db new-epoch`")
    elif behind:
        what = f"{len(behind)} copies are older than Postgres: Redis was not told of a change"
        yield wrong("cache", what, "a read server replaces them; see that commands reach Redis")
    else:
        yield ok("cache", f"{len(there)} of {len(before)} environments have a copy, none is wrong")


def _versions(url: Secret) -> Mapping[str, Any]:
    with open_driver_connection(url, application_name="flagctl doctor") as connection, translated():
        return state_of(connection.execute(STATE_SQL.encode()).fetchall()).versions


def _entry(client: Any, environment_id: str) -> _Entry | None:
    """None where there is none, and for what no reader would take either."""
    try:
        found = client.hmget(keys.snapshot_key(environment_id), "epoch", "revision")
    except redis.ResponseError:
        return None
    epoch, revision = (_text(field or b"") for field in found)
    is_number = revision.isascii() and revision.isdigit()
    return _Entry(epoch, int(revision)) if is_number else None


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
