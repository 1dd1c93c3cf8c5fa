"""redis-py, without the OpenTelemetry that it imports wherever that is installed: to start it would
take half as long again, for metrics that nobody here asks it for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def _hidden(package: str) -> Iterator[None]:
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]  # Python's way: it cannot be imported
    try:
        yield
    finally:
        del sys.modules[package]


with _hidden("opentelemetry"):
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import NoPermissionError, RedisError, ResponseError

__all__ = ["NoBackoff", "NoPermissionError", "Redis", "RedisError", "ResponseError", "Retry"]
