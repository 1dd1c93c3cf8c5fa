"""Usage: which flags are asked for, counted by readers, a hash in Redis for each day.

A hint, like everything in Redis: whoever writes there can make numbers up. No answer depends on
them, and what is read here is bounded, whatever lies there.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final

from core.auth.api_keys import KeyKind
from core.cache import keys
from core.cache.receipts import READ_SHORT

KEPT_DAYS: Final = 90
# Where no reader counts for so long, counting begins anew: what was used meanwhile nobody knows.
PAUSE_SECONDS: Final = 3 * 86_400
_SKEW_SECONDS: Final = 86_400  # clocks that differ by more count for days that nobody looks at
MOST_FIELDS: Final = 20_000  # of a day: flags and their variants
_LONGEST_FIELD: Final = 2_048  # bytes of a flag's and a variant's name
_MOST_DIGITS: Final = 15  # of a number
_DAYS_AT_ONCE: Final = 10
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = 200_000_000_000  # seconds since 1970: what lies there may be any number

# A name of Postgres's has no NUL, and no flag's is empty.
BULK_FIELDS: Final[Mapping[KeyKind, str]] = {kind: f"\0{kind}" for kind in KeyKind}
_OTHERS: Final = "\0others"

# KEYS: the day, the beginning. ARGV: seconds that the day lives, seconds that the beginning does,
# now, how many fields at most, then names and numbers to add. What is no day that readers wrote is
# lost, and counting begins anew; so it does where a reader's clock and Redis's are far apart, and
# never earlier than either says. Numbers of flags that have no room any more are added up under one
# name, so that nobody takes those for unused.
ADD: Final = f"""
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[1], KEYS[2]) end
if redis.call('TYPE', KEYS[2])['ok'] ~= 'hash' then redis.call('DEL', KEYS[2]) end
local theirs, ours = tonumber(ARGV[3]), tonumber(redis.call('TIME')[1])
local now = math.max(theirs, ours)
local began = redis.call('HMGET', KEYS[2], 'began')[1] or ''
if began == '' or #began > {_MOST_DIGITS} or began:find('%D') or tonumber(began) > now
  or math.abs(theirs - ours) > {_SKEW_SECONDS} then began = now end
redis.call('HSET', KEYS[2], 'began', began, 'heard', now)
redis.call('EXPIRE', KEYS[2], ARGV[2])
local room = ARGV[4] - redis.call('HLEN', KEYS[1])
for i = 5, #ARGV, 2 do
  local name = ARGV[i]
  local old = redis.call('HMGET', KEYS[1], name)[1]
  if not old and room <= 0 and name:byte() ~= 0 then
    name = '\\0others'
    old = redis.call('HMGET', KEYS[1], name)[1]
  end
  if not old then room = room - 1
  elseif #old > {_MOST_DIGITS} or old:find('%D') or old == '' then
    redis.call('HSET', KEYS[1], name, '0')
  end
  redis.call('HINCRBY', KEYS[1], name, ARGV[i + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
"""

# KEYS: the day. Returns names and numbers, without names that are too long, and 1 for what is no
# number: that somebody asked is known. One word alone for what is no day of ours, or too large.
READ_DAY: Final = f"""
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind == 'none' then return {{}} end
if kind ~= 'hash' or redis.call('HLEN', KEYS[1]) > {MOST_FIELDS + len(BULK_FIELDS) + 1}
  then return {{'unreadable'}} end
local all, found = redis.call('HGETALL', KEYS[1]), {{}}
for i = 1, #all, 2 do
  local name, number = all[i], all[i + 1]
  if #name <= {_LONGEST_FIELD} then
    if number == '' or #number > {_MOST_DIGITS} or number:find('%D') then number = '1' end
    found[#found + 1] = name
    found[#found + 1] = number
  end
end
return found
"""


@dataclass(frozen=True, slots=True)
class Day:
    """`flags` by key and variant. `server` and `client` are answers with all flags, by the kind of
    key; `others` evaluations of flags that had no room."""

    day: date
    flags: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    server: int = 0
    client: int = 0
    others: int = 0


@dataclass(frozen=True, slots=True)
class Usage:
    """Of one environment. `counted_since` is None where nothing is counted, `heard_at` when readers
    last said so; `days` are those with numbers, in their order."""

    counted_since: datetime | None
    heard_at: datetime | None
    days: tuple[Day, ...]

    def is_of(self, now: datetime) -> bool:
        """Whether the days are those before `now`: not where the clocks are far apart."""
        if self.heard_at is None:
            return False
        ago = (now - self.heard_at).total_seconds()
        return -_SKEW_SECONDS <= ago <= PAUSE_SECONDS + _SKEW_SECONDS


def field_of(key: str, variant: str) -> str:
    return f"{key}\0{variant}"


def add_arguments(
    environment_id: str, now: datetime, numbers: Iterable[tuple[str, int]]
) -> Sequence[str | int]:
    """Everything after the script: the number of keys, the keys, ARGV. `now` is by the reader's
    clock: whoever counted offline counts for the day on which Redis is back."""
    day, began = keys.usage_key(environment_id, now.date()), keys.usage_began_key(environment_id)
    lives = (KEPT_DAYS + 1) * 86_400
    head = (2, day, began, lives, PAUSE_SECONDS, int(now.timestamp()), MOST_FIELDS)
    return (*head, *(word for pair in numbers for word in pair))


def read(client: Any, environment_id: str, *, since: date, now: datetime) -> Usage:
    """From the day `since` on, or as far back as there can be anything. Raises what redis-py
    raises; what no reader writes is left out."""
    first = max(since, now.date() - timedelta(days=KEPT_DAYS))
    days = [first + timedelta(days=n) for n in range((now.date() - first).days + 1)]
    began_key = keys.usage_began_key(environment_id)
    answer = client.eval(READ_SHORT, 1, began_key, _MOST_DIGITS, "began", "heard")
    began, heard = _times(answer)
    found: list[Day] = []
    for at in range(0, len(days), _DAYS_AT_ONCE):
        pipeline = client.pipeline(transaction=False)
        for day in days[at : at + _DAYS_AT_ONCE]:
            pipeline.eval(READ_DAY, 1, keys.usage_key(environment_id, day))
        for day, answer in zip(days[at:], pipeline.execute(), strict=False):
            if not isinstance(answer, list) or len(answer) % 2:
                began = _after(began, day)
            elif answer:
                found.append(_day(day, answer))
    return Usage(min(began, now) if began is not None else None, heard, tuple(found))


def _times(answer: Any) -> Iterator[datetime | None]:
    texts = answer if isinstance(answer, list) and len(answer) == 2 else (b"", b"")
    for text in texts:
        number = _number(text)
        yield None if number is None else _EPOCH + timedelta(seconds=min(number, _LATEST))


def _after(began: datetime | None, day: date) -> datetime | None:
    """What was counted on a day that cannot be read is lost: only what came later is known."""
    if began is None:
        return None
    return max(began, datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1))


def _day(day: date, answer: list[Any]) -> Day:
    flags: dict[str, dict[str, int]] = defaultdict(dict)
    bulk: dict[str, int] = {}
    for name, text in zip(answer[::2], answer[1::2], strict=True):
        number = _number(text)
        try:
            key, nul, variant = name.decode().partition("\0")
        except (UnicodeDecodeError, AttributeError):
            continue
        if number is None or not nul:
            continue
        if key:
            flags[key][variant] = number
        else:
            bulk[variant] = number
    server, client, others = (
        bulk.get(name, 0) for name in (KeyKind.SERVER, KeyKind.CLIENT, _OTHERS[1:])
    )
    return Day(day, dict(flags), server, client, others)


def _number(text: Any) -> int | None:
    if not isinstance(text, bytes) or not text.isdigit() or len(text) > _MOST_DIGITS:
        return None
    return int(text)
