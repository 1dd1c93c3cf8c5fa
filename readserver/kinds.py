"""What a read server is made of, where there are two kinds of it: plain, and with traces."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from starlette.types import ASGIApp

from core.settings import Secret
from readserver.endpoints.evaluate import EvaluateEndpoint
from readserver.evaluations import Evaluations
from readserver.fast_lane import Lane
from readserver.fast_path import Memo
from readserver.rate_limit import ClientLimit
from readserver.redis_library import Redis
from readserver.stores.postgres import PostgresStore
from readserver.stores.redis import RedisStore
from readserver.telemetry import Counts


@dataclass(frozen=True, slots=True)
class Kinds:
    """What answers and loads; readserver.traces has others."""

    application: Callable[[ASGIApp], ASGIApp] = lambda app: app
    lane: Callable[[Memo, EvaluateEndpoint, Counts, ClientLimit], Lane] = Lane
    evaluations: type[Evaluations] = Evaluations
    postgres: Callable[[Secret, Counts], PostgresStore] = PostgresStore
    redis: Callable[[Redis, Counts], RedisStore] = RedisStore


PLAIN: Final = Kinds()
