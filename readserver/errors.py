"""Errors as RFC 9457 problems: the one translation from our kinds, and HTTP's, to an answer."""

import json
import logging
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from core.errors import (
    CheckFailedError,
    ConfirmationNeededError,
    ConflictError,
    FlagctlError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    PassphraseNeededError,
    UnauthenticatedError,
    UnavailableError,
)
from readserver.answers import Header

STATUSES: Final[dict[type[FlagctlError], int]] = {
    FlagctlError: 500,
    InvalidInputError: 400,
    ConfirmationNeededError: 400,
    PassphraseNeededError: 400,
    UnauthenticatedError: 401,
    ForbiddenError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    UnavailableError: 503,
    CheckFailedError: 422,
}
_CODES: Final = {
    405: "method_not_allowed",
    413: "too_large",
    415: "unsupported_media_type",
    431: "too_large",
    503: "unavailable",
}
_RETRY_AFTER_SECONDS: Final = b"2"
_log = logging.getLogger(__name__)


def status_of(error: FlagctlError) -> int:
    """The status of the nearest kind that has one."""
    return next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)


def problem(
    status: int, detail: str, *, code: str = "", hint: str = ""
) -> tuple[bytes, list[Header]]:
    """A problem's body and headers."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code or _CODES.get(status, HTTPStatus(status).name.lower()),
    }
    if hint:
        document["hint"] = hint
    body = json.dumps(document, ensure_ascii=False).encode("utf-8", "replace")
    headers = [
        (b"content-type", b"application/problem+json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b'Bearer realm="flagctl"'))
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append((b"retry-after", _RETRY_AFTER_SECONDS))
    return body, headers


def problem_of(error: Exception) -> tuple[int, bytes, list[Header]]:
    """(status, body, headers) for whatever was raised; what is not ours says nothing of itself."""
    match error:
        case FlagctlError():
            status = status_of(error)
            if status < HTTPStatus.INTERNAL_SERVER_ERROR or isinstance(error, UnavailableError):
                said = problem(status, _said(error), code=error.code, hint=error.hint)
                return (status, *said)
        case HTTPException():
            body, headers = problem(error.status_code, error.detail)
            more = {k.lower().encode(): v.encode() for k, v in (error.headers or {}).items()}
            return error.status_code, body, [*(dict(headers) | more).items()]
        case _:
            pass
    _log.error("a request failed", exc_info=error)
    return 500, *problem(500, "flagctl failed; its log says more", code="unexpected")


def _said(error: FlagctlError) -> str:
    """Unavailability is told in our words: Postgres's can name hosts and logins."""
    if isinstance(error, UnavailableError) and error.__cause__ is not None:
        return "a store cannot be reached"
    return error.message


async def handle(_request: Request, error: Exception) -> Response:
    """Starlette's exception handler for every kind."""
    status, body, headers = problem_of(error)
    response = Response(body, status)
    response.raw_headers = headers
    return response
