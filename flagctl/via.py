"""Asks a running read server, as an application would."""

import http.client
import json
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from core.errors import (
    FlagctlError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from core.settings import Secret

_SECONDS = 10.0
_LARGEST_ANSWER = 8_000_000  # bytes
_KINDS: dict[int, type[FlagctlError]] = {
    400: InvalidInputError,
    401: UnauthenticatedError,
    403: ForbiddenError,
    404: NotFoundError,
}


class _NoRedirects(HTTPRedirectHandler):
    """A key goes to nobody but whom it was meant for."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def evaluate(base: str, key: Secret, flag: str, context: dict[str, Any]) -> dict[str, Any]:
    """OFREP's answer for one flag. Raises as the server answers; UnavailableError without one."""
    parts = urlsplit(base)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
        raise InvalidInputError(
            f"{base!r} is no address of a server", hint="as in http://host:8000"
        )
    request = Request(  # noqa: S310 - the scheme is checked
        f"{base.rstrip('/')}/ofrep/v1/evaluate/flags/{quote(flag, safe='')}",
        data=json.dumps({"context": context}).encode(),
        headers={"X-API-Key": key.reveal(), "Content-Type": "application/json"},
    )
    try:
        with build_opener(_NoRedirects).open(request, timeout=_SECONDS) as answer:
            return _document(answer.read(_LARGEST_ANSWER))
    except HTTPError as error:
        document = _document(error.read(_LARGEST_ANSWER))
        if document.get("errorCode") == "TARGETING_KEY_MISSING":
            return document
        message = document.get("errorDetails") or document.get("detail") or document.get("title")
        kind = _KINDS.get(error.code, UnavailableError)
        raise kind(str(message or f"{base} answers {error.code}")) from None
    except (URLError, OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or type(error).__name__
        raise UnavailableError(f"{base} cannot be reached: {reason}") from None


def _document(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {}
