"""Usage as readers leave it in Redis, on whatever day."""

from collections.abc import Mapping
from datetime import timedelta

import redis

from core import clock
from core.auth.api_keys import KeyKind
from core.cache import keys
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
    id_, now = installation.environment_id(environment), clock.now()
    moment = now - timedelta(days=days_ago)
    began, day = keys.usage_began_key(id_), keys.usage_key(id_, moment.date())
    arguments = add_arguments(id_, now, () if days_ago else fields.items())
    with redis.Redis.from_url(installation.redis.reader.reveal(), driver_info=None) as client:
        assert client.execute_command("EVAL", ADD, *arguments) == 1
        if not days_ago:
            return  # else as if readers had done the same then
        earliest = min(int(moment.timestamp()), int(client.hmget(began, "began")[0] or 0))
        client.hset(began, "began", earliest)
        for name, number in fields.items():
            client.hincrby(day, name, number)


def age(installation: Installation, *, days: int) -> None:
    """As if all flags had been made so long ago, and left as they were."""
    ago = f"- make_interval(days => {days})"
    installation.govern(
        "SET LOCAL session_replication_role = replica",  # a trigger says when it was
        f"UPDATE flagctl.flags SET created_at = created_at {ago}, updated_at = updated_at {ago}",
    )
