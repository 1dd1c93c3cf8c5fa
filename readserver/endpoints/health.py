"""`/healthz`: the process is alive. `/readyz`: it can answer; the body says how old."""

from typing import Final

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from readserver.held import Held
from readserver.provider import Provider
from readserver.stores.redis import RedisStore
from readserver.truth import Truth

_HEADERS: Final = {"cache-control": "no-store"}


def routes(
    held: Held, provider: Provider, truth: Truth, redis: RedisStore | None
) -> list[BaseRoute]:
    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "alive"}, headers=_HEADERS)

    async def readyz(_request: Request) -> Response:
        """503 only when nothing at all could be answered: a lost Postgres must not take every
        reader out of the load balancer at once."""
        redis_up = redis is not None and redis.is_up
        # Without Postgres's word nothing in Redis can be verified.
        can_answer = (
            len(held) > 0
            or truth.is_reachable
            or (redis_up and truth.is_known)
            or provider.can_recall
        )
        document = {
            "status": "ready" if can_answer else "not ready",
            "stale": truth.is_stale,
            "age_seconds": round(truth.age_seconds, 3) if truth.is_known or len(held) else None,
            "environments": len(held),
            "postgres": "up" if truth.is_reachable else "down",
            "redis": "none" if redis is None else "up" if redis_up else "down",
        }
        return JSONResponse(document, 200 if can_answer else 503, _HEADERS)

    return [Route("/healthz", healthz), Route("/readyz", readyz)]
