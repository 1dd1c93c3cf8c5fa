"""How long requests take, from the complete head to the last byte handed over."""

from time import perf_counter

from starlette.types import ASGIApp, Receive, Scope, Send

from readserver.histograms import Histogram

_ENDLESS = "/stream"  # what such a path answers ends when the client goes


class Timed:
    """Passes everything on, and takes the time of it."""

    def __init__(self, app: ASGIApp, histogram: Histogram) -> None:
        self._app = app
        self._observe = histogram.observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = perf_counter()
        try:
            await self._app(scope, receive, send)
        finally:
            if scope["type"] == "http" and not scope["path"].endswith(_ENDLESS):
                self._observe(perf_counter() - began)
