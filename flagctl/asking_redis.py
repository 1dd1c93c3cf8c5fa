"""For commands whose subject is what readers say in Redis."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from core.settings import Secret

T = TypeVar("T")


def ask(address: "Secret", question: Callable[[Any], T]) -> T:
    """What `question` of a client gives. Raises UnavailableError."""
    import redis

    from core.cache.clients import open_client
    from core.cache.invalidation import reason
    from core.errors import UnavailableError

    try:
        with open_client(address, timeout=2) as client:
            return question(client)
    except (redis.RedisError, OSError, ValueError) as error:
        raise UnavailableError(
            reason(error), hint="look at FLAGCTL_REDIS_URL, and whether Redis runs"
        ) from None
