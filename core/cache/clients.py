"""Clients of Redis for the command line: they neither retry nor wait long."""

from typing import TYPE_CHECKING

from core.settings import Secret

if TYPE_CHECKING:
    from redis import Redis


def open_client(url: Secret, *, timeout: float) -> "Redis":
    """Opens no connection yet; close it. `timeout` is in seconds. Raises ValueError."""
    from redis import Redis  # deferred: it is slow to import, and most commands never need it
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    return Redis.from_url(
        url.reveal(),
        socket_timeout=timeout,
        socket_connect_timeout=timeout,
        retry=Retry(NoBackoff(), 0),
        driver_info=None,  # saying who we are takes two commands more, and rights for them
    )
