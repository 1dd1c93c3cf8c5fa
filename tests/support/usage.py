"""Usage as readers leave it in Redis, on whatever day."""

from collections.abc import Mapping
from datetime import timedelta

import redis

from core import clock
from core.auth.api_keys import KeyKind
from core.cache.usage import ADD, BULK_FIELDS, add_arguments, field_of
from tests.support.installations import Installation

Names = tuple[str, str] | KeyKind


def add(
    installation: Installation,
    numbers: Mapping[Names, int],
    *,
    environment: str = "prod",
    days_ago: float = 0,
) -> None:
    """By flag and variant, or by kind of key. Counting begins with the earliest day."""
    fields = {
        BULK_FIELDS[name] if isinstance(name, KeyKind) else field_of(*name): number
        for name, number in numbers.items()
    }
    moment = clock.now() - timedelta(days=days_ago)
    arguments = add_arguments(installation.environment_id(environment), moment, fields.items())
    with redis.Redis.from_url(installation.redis.reader.reveal(), driver_info=None) as client:
        assert client.execute_command("EVAL", ADD, *arguments) == 1


def age(installation: Installation, *, days: int) -> None:
    """As if all flags had been made so long ago."""
    installation.govern(
        f"UPDATE flagctl.flags SET created_at = created_at - make_interval(days => {days})"
    )
