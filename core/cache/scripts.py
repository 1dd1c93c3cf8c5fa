"""The scripts that Redis runs undivided: replace only by something newer, and one loads for all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.cache import keys


@dataclass(frozen=True, slots=True)
class Seen:
    """What a reader saw in an entry that it cannot use, and may replace as long as it is there."""

    epoch: bytes
    revision: bytes
    stamp: bytes
    mac: bytes


# KEYS: the entry. ARGV: epoch, revision, stamp, mac, data, seconds to live, then what was seen:
# epoch, revision, stamp, mac (none: four empty strings), and "1" to replace whatever there is.
# Returns 1 when the entry was written. Revisions are compared as decimal strings, by length first:
# Lua's numbers are doubles and would take 2^53 and 2^53 + 1 for the same. An entry with a field
# that no release writes (a revision that is no plain number, anything long) counts as empty: it
# keeps no true revision out, and no reader has to send it back to have it replaced.
PUT_IF_NEWER: Final = """
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind ~= 'hash' and kind ~= 'none' then redis.call('DEL', KEYS[1]) end
local old = redis.call('HMGET', KEYS[1], 'epoch', 'revision', 'stamp', 'mac')
local strange = false
for i = 1, 4 do
  old[i] = old[i] or ''
  strange = strange or #old[i] > 100
end
local rev, new = old[2], ARGV[2]
if strange or #rev > 18 or rev:find('%D') or rev:find('^0.') then
  old, rev = {'', '', '', ''}, ''
end
local newer = #new > #rev or (#new == #rev and new > rev)
local fills = new == rev and old[4] == '' and ARGV[4] ~= ''
local same = old[1] == ARGV[7] and rev == ARGV[8] and old[3] == ARGV[9] and old[4] == ARGV[10]
if not (old[1] ~= ARGV[1] or newer or fills or same or ARGV[11] == '1') then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'epoch', ARGV[1], 'revision', new, 'stamp', ARGV[3])
if ARGV[4] ~= '' then redis.call('HSET', KEYS[1], 'mac', ARGV[4], 'data', ARGV[5]) end
redis.call('EXPIRE', KEYS[1], ARGV[6])
return 1
"""

# KEYS: the entry, the lease. ARGV: epoch and revision that are wanted, a token, milliseconds.
# Returns {2} when the entry says that it is a copy as new as that, {0} while the lease is
# another's, and when it is now the token's {1} with what the entry has instead: epoch, revision,
# stamp and mac, cut. A lease that would never end, or later than ours do, is nobody's.
CLAIM: Final = """
local old = {'', '', '', ''}
if redis.call('TYPE', KEYS[1])['ok'] == 'hash' then
  old = redis.call('HMGET', KEYS[1], 'epoch', 'revision', 'stamp', 'mac')
  for i = 1, 4 do old[i] = (old[i] or ''):sub(1, 101) end
  local rev, wanted = old[2], ARGV[2]
  local is_number = #rev <= 18 and not rev:find('%D')
  local is_new = #rev > #wanted or (#rev == #wanted and rev >= wanted)
  if old[1] == ARGV[1] and is_number and is_new and redis.call('HEXISTS', KEYS[1], 'data') == 1
    then return {2} end
end
local left = redis.call('PTTL', KEYS[2])
if left == -1 or left > tonumber(ARGV[4]) then redis.call('DEL', KEYS[2]) end
if redis.call('SET', KEYS[2], ARGV[3], 'NX', 'PX', ARGV[4]) then return {1, unpack(old)} end
return {0}
"""

# KEYS: the lease. ARGV: the token. Ends it unless it is another's by now.
RELEASE: Final = """
if redis.call('TYPE', KEYS[1])['ok'] ~= 'string' then return 0 end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('DEL', KEYS[1])
"""

Argument = str | bytes | int


def put_arguments(
    epoch: str,
    revision: int,
    stamp: str,
    *,
    mac: bytes,
    data: bytes,
    seen: Seen | None = None,
    replace: bool = False,
) -> Sequence[Argument]:
    """ARGV for storing a snapshot.

    `seen`: an unusable entry, read before Postgres was asked; what Postgres said is truer than it,
    whatever revision it claims. `replace`: Postgres went back, and said so.
    """
    before = seen or Seen(b"", b"", b"", b"")
    return (
        *(epoch, revision, stamp, mac, data, keys.EXPIRES_SECONDS),
        *(before.epoch, before.revision, before.stamp, before.mac, "1" if replace else ""),
    )


def invalidate_arguments(epoch: str, revision: int, stamp: str) -> Sequence[Argument]:
    """ARGV for a tombstone: whatever is older than this revision is no longer good."""
    return put_arguments(epoch, revision, stamp, mac=b"", data=b"")
