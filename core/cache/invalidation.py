"""How a writer tells Redis and the readers that an environment changed."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass

from core import notifications
from core.cache import acl, keys, scripts
from core.cache.clients import open_client
from core.settings import Secret


@dataclass(frozen=True, slots=True)
class Change:
    """The version an environment (public id) has after a commit."""

    environment_id: str
    epoch: str
    revision: int
    stamp: str


def announce(
    redis_url: Secret, changes: Sequence[Change], *, deadline_seconds: float = 0.5
) -> str | None:
    """Make older copies invalid and publish each change. None when done, else why not.

    The reason has no secret in it. Never raises, and never takes longer than the deadline: a
    resolver and a Redis that accepts and never answers both hang, so the work is a daemon thread's.
    """
    if not changes:
        return None
    import redis  # deferred: it is slow to import, and most commands never talk to Redis

    outcome: list[str | None] = []

    def work() -> None:
        try:
            _send(redis_url, changes, deadline_seconds)
        except (redis.RedisError, OSError, ValueError) as error:
            outcome.append(reason(error))
        else:
            outcome.append(None)

    thread = threading.Thread(target=work, daemon=True, name="flagctl-announce")
    thread.start()
    thread.join(deadline_seconds)
    return outcome[0] if outcome else f"Redis did not answer within {deadline_seconds:g} s"


def _send(redis_url: Secret, changes: Sequence[Change], timeout: float) -> None:
    client = open_client(redis_url, timeout=timeout)
    try:
        pipeline = client.pipeline(transaction=False)
        for change in changes:
            pipeline.eval(
                scripts.PUT_IF_NEWER,
                1,
                keys.snapshot_key(change.environment_id),
                *scripts.invalidate_arguments(change.epoch, change.revision, change.stamp),
            )
            message = notifications.Notification(change.environment_id, change.revision)
            pipeline.publish(notifications.CHANNEL, message.render())
        pipeline.execute()
    finally:
        client.close()


def reason(error: Exception) -> str:
    """The kind of failure in words. Texts of redis-py can repeat the address, and a password."""
    import redis

    if isinstance(error, redis.AuthenticationError):
        return "Redis refuses the password of its address"
    if isinstance(error, redis.TimeoutError | TimeoutError):
        return "Redis did not answer in time"
    if isinstance(error, redis.exceptions.NoPermissionError) or acl.says_so(str(error)):
        return "this user of Redis lacks a right; `flagctl cache acl` prints them"
    if isinstance(error, redis.ResponseError):
        return f"Redis refused: {str(error).split(' ', 1)[0][:40]}"
    if isinstance(error, ValueError) and not isinstance(error, redis.RedisError):
        return "the address of Redis cannot be read"
    return "Redis cannot be reached"
