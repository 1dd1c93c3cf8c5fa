"""Entries of snapshots as the command line looks at them: little is read, whatever lies there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from core import notifications
from core.cache import keys, scripts
from core.cache.scripts import Seen

_LONGEST: Final = 100  # bytes of a field other than the data; no release writes a longer one

# KEYS: the entry. ARGV: bytes of a field. Returns its type; of a hash also epoch, revision, stamp
# and mac, cut, and how long its data is.
READ_ENTRY: Final = """
local kind = redis.call('TYPE', KEYS[1])['ok']
if kind ~= 'hash' then return {kind} end
local entry = redis.call('HMGET', KEYS[1], 'epoch', 'revision', 'stamp', 'mac', 'data')
local found = {kind}
for i = 1, 4 do found[i + 1] = (entry[i] or ''):sub(1, ARGV[1]) end
found[6] = entry[5] and #entry[5] or 0
return found
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry says it is; `revision` is None where no release wrote it. `size` is its data's,
    in bytes: 0 for a mark that older copies are no longer good."""

    epoch: str
    revision: int | None
    stamp: str
    mac: bytes
    size: int
    seen: Seen | None


_STRANGE: Final = Entry("", None, "", b"", 0, None)


def read(client: Any, environment_id: str) -> Entry | None:
    """The entry of an environment, without its data. Raises what redis-py raises."""
    key = keys.snapshot_key(environment_id)
    answer = client.eval(READ_ENTRY, 1, key, _LONGEST + 1)
    if answer == [b"none"]:
        return None
    if not isinstance(answer, list) or len(answer) != 6:
        return _STRANGE
    _, epoch, revision, stamp, mac, size = answer
    if max(map(len, (epoch, revision, stamp, mac))) > _LONGEST:
        return _STRANGE
    is_number = revision.isdigit() and len(revision) <= notifications.MOST_DIGITS
    is_number = is_number and str(int(revision)).encode() == revision
    return Entry(
        epoch.decode("utf-8", "replace"),
        int(revision) if is_number else None,
        stamp.decode("utf-8", "replace"),
        mac,
        size,
        Seen(epoch, revision, stamp, mac),
    )


def data(client: Any, environment_id: str) -> bytes:
    """The bytes of the copy; empty when there is none any more."""
    (found,) = client.hmget(keys.snapshot_key(environment_id), ["data"])
    return found or b""


def put(client: Any, environment_id: str, arguments: Sequence[scripts.Argument]) -> None:
    """Write as core.cache.scripts says."""
    client.eval(scripts.PUT_IF_NEWER, 1, keys.snapshot_key(environment_id), *arguments)
