"""What flagctl's keys in Redis are called."""

from typing import Final

FORMAT: Final = 1  # of the entry's fields and of the bytes in it
EXPIRES_SECONDS: Final = 86_400  # of an entry; it is written again with each change and each miss
PATTERN: Final = "flagctl:{*}:*"  # of every key of every format, as Redis's rules match it


def snapshot_key(environment_id: str) -> str:
    """The entry of an environment: a hash of epoch, revision, stamp, mac and data.

    The format is part of the name, so that readers of two releases never overwrite each other, and
    the environment is the hash tag, so that a cluster keeps what belongs together together.
    """
    return f"flagctl:{{{environment_id}}}:{FORMAT}:snapshot"
