"""`/metrics`, for Prometheus."""

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from readserver.worker_metrics import Collector


def routes(collector: Collector) -> list[BaseRoute]:
    registry = CollectorRegistry()
    registry.register(collector)

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return [Route("/metrics", metrics)]
