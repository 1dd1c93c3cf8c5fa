"""What flagctl's keys in Redis are called."""

from datetime import date
from typing import Final

FORMAT: Final = 3  # of the bytes in an entry: that of core/snapshot/codec.py
EXPIRES_SECONDS: Final = 86_400  # of an entry; it is written again with each change and each miss
PATTERN: Final = "flagctl:{*}:*"  # of every key of every format, as Redis's rules match it
# What no format of snapshots changes: a new release finds the old one's receipts and counts.
_RECEIPTS: Final = 1
_USAGE: Final = 1
READERS: Final = f"flagctl:{{readers}}:{_RECEIPTS}:live"  # the ids of the readers that are up


def snapshot_key(environment_id: str) -> str:
    """The entry of an environment: a hash of epoch, revision, stamp, mac and data.

    The format is part of the name, so that readers of two releases never overwrite each other, and
    the environment is the hash tag, so that a cluster keeps what belongs together together.
    """
    return f"flagctl:{{{environment_id}}}:{FORMAT}:snapshot"


def lease_key(environment_id: str) -> str:
    """Who of the readers loads the environment at the moment, for all of them."""
    return f"flagctl:{{{environment_id}}}:{FORMAT}:lease"


def usage_key(environment_id: str, day: date) -> str:
    """What was asked of the environment on a day, by UTC: a hash of names and numbers."""
    return f"flagctl:{{{environment_id}}}:{_USAGE}:usage-{day.isoformat()}"


def usage_began_key(environment_id: str) -> str:
    """Since when that is counted without a pause."""
    return f"flagctl:{{{environment_id}}}:{_USAGE}:usage-began"


def reader_key(reader_id: str) -> str:
    """What a reader says of itself; with the list, so that a script may touch both in a cluster."""
    return f"flagctl:{{readers}}:{_RECEIPTS}:reader-{reader_id}"
