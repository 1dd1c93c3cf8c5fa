"""Logging in on another screen: the device authorization grant (RFC 8628)."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from core.errors import (
    FlagctlError,
    ForbiddenError,
    InvalidInputError,
    UnauthenticatedError,
    UnavailableError,
)
from core.services.openid.discovery import discover
from core.services.openid.transport import Answer, Transport
from core.services.openid.urls import check_https
from core.settings import Secret

_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_INTERVAL: Final = 5.0  # seconds between two questions, unless the issuer says otherwise
_SLOWER: Final = 5.0  # how much longer to wait when it asks for it, or cannot be reached
_LONGEST: Final = 3_600.0  # no code is good for longer, whatever the issuer says
_DEVICES: Final = "the device endpoint"
_TOKENS: Final = "the token endpoint"
_MAX_CLIENT_ID: Final = 500
_AGAIN: Final = "`flagctl login` starts again"


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the person needs: where to go, and what to type there. `expires_in` is in seconds."""

    verification_uri: str
    verification_uri_complete: str | None
    user_code: str
    expires_in: float


@dataclass(frozen=True, slots=True)
class Waiting:
    """How time passes: tests let it pass faster."""

    sleep: Callable[[float], None] = time.sleep
    now: Callable[[], float] = time.monotonic


@dataclass(frozen=True, slots=True)
class _Grant:
    invitation: Invitation
    device_code: str = field(repr=False)
    interval: float


def log_in(
    issuer: str,
    client_id: str,
    *,
    show: Callable[[Invitation], None],
    transport: Transport,
    waiting: Waiting,
) -> Secret:
    """The person's id token. `show` is called once, when there is something to type.

    Raises InvalidInputError (issuer or client are wrong), UnavailableError, ForbiddenError (the
    person or the issuer said no), UnauthenticatedError (nobody typed the code in time).
    """
    _check_client(client_id)
    device_endpoint, token_endpoint = _endpoints(issuer, transport)
    answer = transport.post(
        device_endpoint, {"client_id": client_id, "scope": "openid"}, what=_DEVICES
    )
    grant = _grant(answer)
    show(grant.invitation)
    form = {"grant_type": _GRANT, "device_code": grant.device_code, "client_id": client_id}
    return _poll(grant, lambda: transport.post(token_endpoint, form, what=_TOKENS), waiting)


def _check_client(client_id: str) -> None:
    if not client_id or len(client_id) > _MAX_CLIENT_ID or not client_id.isprintable():
        raise InvalidInputError(
            "the client id is empty, too long or not printable",
            hint="--client-id ID, as the issuer knows this program",
        )


def _endpoints(issuer: str, transport: Transport) -> tuple[str, str]:
    found = discover(issuer, transport)
    if found.device_authorization_endpoint is None:
        raise InvalidInputError(
            f"the issuer {issuer} has no device_authorization_endpoint: one cannot log in there",
            hint="switch on the device authorization grant (RFC 8628) at the issuer",
        )
    if found.token_endpoint is None:
        raise InvalidInputError(f"the issuer {issuer} has no token_endpoint")
    return found.device_authorization_endpoint, found.token_endpoint


def _grant(answer: Answer) -> _Grant:
    if answer.status in (400, 401, 403):
        raise _refusal(answer)
    document = answer.document()
    return _Grant(
        Invitation(
            _page(document, "verification_uri"),
            _page(document, "verification_uri_complete")
            if document.get("verification_uri_complete") is not None
            else None,
            _text(document, "user_code", at_most=60),
            min(_seconds(document, "expires_in", None), _LONGEST),
        ),
        _text(document, "device_code", at_most=4_000),
        max(_seconds(document, "interval", _INTERVAL), 1.0),
    )


def _poll(grant: _Grant, ask: Callable[[], Answer], waiting: Waiting) -> Secret:
    """Ask at the issuer's pace until it has an answer, or until the code is too old."""
    end = waiting.now() + grant.invitation.expires_in
    interval = grant.interval
    while True:
        waiting.sleep(min(interval, grant.invitation.expires_in))
        is_late = waiting.now() >= end
        try:
            answer = ask()
        except UnavailableError:
            if is_late:
                raise
            interval += _SLOWER  # as RFC 8628 asks for; a person may be typing the code
            continue
        if answer.status == 200:
            return _id_token(answer.document())
        error = _error_code(answer)
        if error not in ("authorization_pending", "slow_down"):
            raise _ended(answer, error, grant.device_code)
        if is_late:
            raise UnauthenticatedError("nobody entered the code in time", hint=_AGAIN)
        interval += _SLOWER if error == "slow_down" else 0.0


def _ended(answer: Answer, error: str, device_code: str) -> FlagctlError:
    if error == "access_denied":
        return ForbiddenError("the login was refused at the issuer", hint=_AGAIN)
    if error == "expired_token":
        return UnauthenticatedError("nobody entered the code in time", hint=_AGAIN)
    return _refusal(answer, secret=device_code)


def _error_code(answer: Answer) -> str:
    if answer.status == 429 or answer.status >= 500:
        return "slow_down"  # it has troubles of its own; the code is still good
    error = answer.json().get("error")
    return error if isinstance(error, str) else ""


def _refusal(answer: Answer, *, secret: str = "") -> InvalidInputError:
    """What the issuer says about it, without what was sent to it."""
    document = answer.json()
    said = [document.get(name) for name in ("error", "error_description")]
    text = ": ".join(part for part in said if isinstance(part, str) and part)
    text = text.replace(secret, "…") if secret else text
    shown = "".join(c if c.isprintable() else " " for c in text)[:300]
    return InvalidInputError(
        f"{answer.what} at {answer.url} refuses ({answer.status}): {shown or 'it says no reason'}",
        hint="is the client id right, and may this client use the device authorization grant?",
    )


def _id_token(document: dict[str, Any]) -> Secret:
    token = document.get("id_token")
    if not isinstance(token, str) or not token:
        raise InvalidInputError(
            "the issuer logged you in, but gave no id_token",
            hint="the client must be allowed the scope openid",
        )
    return Secret(token)


def _page(document: dict[str, Any], name: str) -> str:
    url = _text(document, name, at_most=1_000)
    check_https(url, what=f"{name} of {_DEVICES}")
    return url


def _text(document: dict[str, Any], name: str, *, at_most: int) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value or len(value) > at_most or not value.isprintable():
        raise InvalidInputError(f"{_DEVICES} gives no usable {name}")
    return value


def _seconds(document: dict[str, Any], name: str, default: float | None) -> float:
    value = document.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        raise InvalidInputError(f"{_DEVICES} gives no usable {name}")
    return float(value)
