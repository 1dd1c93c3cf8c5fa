"""`/openapi.json` and `/docs`: one document, and a page rendered from it without any CDN."""

import json
from html import escape
from importlib.resources import files
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from core import __version__

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:50rem;margin:2rem auto;padding:0 1rem;"
    "color:#222}code{background:#f2f2f2;padding:.1rem .3rem;border-radius:3px}"
    "section{border-top:1px solid #ddd;margin-top:1.5rem}td{padding:.15rem 1rem .15rem 0;"
    "vertical-align:top}"
)
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"


def document() -> dict[str, Any]:
    """The OpenAPI document of this release."""
    text = files("readserver").joinpath("openapi.json").read_text(encoding="utf-8")
    described: dict[str, Any] = json.loads(text)
    described["info"]["version"] = __version__
    return described


def routes() -> list[BaseRoute]:
    described = document()
    text, page = json.dumps(described), render(described)

    async def openapi(_request: Request) -> Response:
        return Response(text, media_type="application/json")

    async def docs(_request: Request) -> Response:
        return Response(page, media_type="text/html", headers={"content-security-policy": _POLICY})

    return [Route("/openapi.json", openapi), Route("/docs", docs)]


def render(described: dict[str, Any]) -> str:
    """The document as one HTML page."""
    info = described["info"]
    operations = "".join(
        _operation(path, method, operation)
        for path, methods in described["paths"].items()
        for method, operation in methods.items()
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(info["title"])}'
        f"</title><style>{_STYLE}</style><h1>{escape(info['title'])} "
        f"<small>{escape(info['version'])}</small></h1><p>{escape(info['description'])}</p>"
        f'<p><a href="/openapi.json">openapi.json</a></p>{operations}</html>'
    )


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    parameters = "".join(
        f"<tr><td><code>{escape(p['name'])}</code><td>{escape(p['description'])}"
        for p in operation.get("parameters", ())
    )
    responses = "".join(
        f"<tr><td><code>{escape(status)}</code><td>{escape(response['description'])}"
        for status, response in operation["responses"].items()
    )
    return (
        f"<section><h2><code>{method.upper()} {escape(path)}</code></h2>"
        f"<p>{escape(operation['summary'])}</p>"
        f"<table>{parameters}</table><h3>Answers</h3><table>{responses}</table></section>"
    )
