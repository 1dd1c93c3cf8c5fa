"""Receipts: each reader says in Redis which revision of which environment it serves.

A hint for people, like everything in Redis: whoever writes there can make one up. No answer depends
on them, and what is read here is short, whatever lies there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from core import notifications
from core.cache import keys

EXPIRES_SECONDS: Final = 7  # after the last word of a reader
MOST_READERS: Final = 2_000
_FIELDS: Final = ("host", "pid", "version", "epoch", "age", "holds")
_LONGEST: Final = 128  # characters of a field; a version of an environment has about 90

# KEYS: the reader's entry, the list of readers. ARGV: the reader's id, seconds to live, "1" to
# begin anew, how many fields there are, then names and values, then names to remove.
# Returns 0 when the entry is gone, so that all has to be told again.
ANNOUNCE: Final = """
if ARGV[3] == '1' then redis.call('DEL', KEYS[1])
elseif redis.call('TYPE', KEYS[1])['ok'] ~= 'hash' then return 0 end
local last = 4 + 2 * ARGV[4]
for i = 5, last, 2 do redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1]) end
for i = last + 1, #ARGV do redis.call('HDEL', KEYS[1], ARGV[i]) end
redis.call('EXPIRE', KEYS[1], ARGV[2])
if redis.call('TYPE', KEYS[2])['ok'] ~= 'zset' then redis.call('DEL', KEYS[2]) end
local now = tonumber(redis.call('TIME')[1])
redis.call('ZADD', KEYS[2], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now - ARGV[2] - 1)
redis.call('ZREMRANGEBYSCORE', KEYS[2], now + 60, '+inf')
redis.call('EXPIRE', KEYS[2], 3600)
return 1
"""

# KEYS: the reader's entry, the list of readers. ARGV: the reader's id.
LEAVE: Final = """
if redis.call('TYPE', KEYS[2])['ok'] == 'zset' then redis.call('ZREM', KEYS[2], ARGV[1]) end
return redis.call('DEL', KEYS[1])
"""

# KEYS: the list of readers. ARGV: how many at most. Returns ids, those heard of last first.
LIST: Final = """
if redis.call('TYPE', KEYS[1])['ok'] ~= 'zset' then return {} end
local found = {}
for _, id in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, ARGV[1] - 1)) do
  if #id == 16 and not id:find('%X') then found[#found + 1] = id end
end
return found
"""

# KEYS: an entry. ARGV: how many bytes of a field at most, names of fields. Returns their values,
# an empty one for a field that is missing or longer; nothing for what is no entry.
READ_SHORT: Final = """
if redis.call('TYPE', KEYS[1])['ok'] ~= 'hash' then return {} end
local found = {}
for i = 2, #ARGV do
  local value = redis.call('HMGET', KEYS[1], ARGV[i])[1] or ''
  found[#found + 1] = #value <= tonumber(ARGV[1]) and value or ''
end
return found
"""


@dataclass(frozen=True, slots=True)
class Served:
    """Which version of an environment a reader serves."""

    epoch: str
    revision: int
    stamp: str

    def render(self) -> str:
        return f"{self.epoch} {self.revision} {self.stamp}"

    def is_at_least(self, epoch: str, revision: int, stamp: str) -> bool:
        """Whether this is that version, or came after it."""
        return self.epoch == epoch and (
            self.revision > revision or (self.revision, self.stamp) == (revision, stamp)
        )


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a reader says of itself. `age_seconds` is since Postgres confirmed what it serves, None
    while it cannot be reached; `holds` is how many environments it has in memory; `serves` is by
    their public ids, of those asked for."""

    id: str
    host: str
    pid: int
    version: str
    epoch: str
    age_seconds: float | None
    holds: int
    serves: Mapping[str, Served]


def announce_arguments(
    reader_id: str, fields: Mapping[str, str], *, removed: Sequence[str] = (), anew: bool
) -> Sequence[str | int]:
    """Everything after the script: the number of keys, the keys, ARGV. `anew`: forget the rest."""
    pairs = [text for pair in fields.items() for text in pair]
    return (
        *(2, keys.reader_key(reader_id), keys.READERS, reader_id, EXPIRES_SECONDS),
        *("1" if anew else "", len(fields), *pairs, *removed),
    )


def leave_arguments(reader_id: str) -> Sequence[str | int]:
    return (2, keys.reader_key(reader_id), keys.READERS, reader_id)


def about(
    *, host: str, pid: int, version: str, epoch: str, age_seconds: float | None, holds: int
) -> dict[str, str]:
    """The fields that say who it is."""
    age = "" if age_seconds is None else f"{age_seconds:.1f}"
    values = (host[:64], str(pid), version, epoch, age, str(holds))
    return dict(zip(_FIELDS, values, strict=True))


def live_readers(
    client: Any, environment_ids: Sequence[str], *, only: Sequence[str] | None = None
) -> list[Receipt]:
    """The receipts of the readers that are up; `only` these readers. Raises what redis-py raises.

    What no reader writes is left out.
    """
    ids = only if only is not None else _ids(client.eval(LIST, 1, keys.READERS, MOST_READERS))
    if not ids:
        return []
    pipeline = client.pipeline(transaction=False)
    for id_ in ids:
        names = (*_FIELDS, *environment_ids)
        pipeline.eval(READ_SHORT, 1, keys.reader_key(id_), _LONGEST, *names)
    answers = pipeline.execute(raise_on_error=False)
    found = (_receipt(*pair, environment_ids) for pair in zip(ids, answers, strict=True))
    return [receipt for receipt in found if receipt is not None]


def _ids(answer: Any) -> list[str]:
    items = answer if isinstance(answer, list) else []
    return [item.decode("latin-1") for item in items if isinstance(item, bytes)]


def _receipt(id_: str, answer: Any, environment_ids: Sequence[str]) -> Receipt | None:
    if not isinstance(answer, list) or len(answer) != len(_FIELDS) + len(environment_ids):
        return None
    try:
        texts = [value.decode() for value in answer]
        host, pid, version, epoch, age, holds = texts[: len(_FIELDS)]
        serves = zip(environment_ids, map(_served, texts[len(_FIELDS) :]), strict=True)
        if not (host and version and host.isprintable() and version.isprintable()):
            return None
        return Receipt(
            *(id_, host, _number(pid), version, epoch),
            float(_age(age)) if age else None,
            _number(holds),
            {environment: served for environment, served in serves if served is not None},
        )
    except (ValueError, AttributeError):
        return None


def _served(text: str) -> Served | None:
    if not text:
        return None
    epoch, revision, stamp = text.split(" ")
    return Served(epoch, _number(revision), stamp)


def _number(text: str) -> int:
    """Raises ValueError for what only Python takes for a number."""
    if not (text.isascii() and text.isdigit()) or len(text) > notifications.MOST_DIGITS:
        raise ValueError
    return int(text)


def _age(text: str) -> str:
    if not text.replace(".", "", 1).isdigit() or not text.isascii() or len(text) > 15:
        raise ValueError
    return text
