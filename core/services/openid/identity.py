"""Who an id token says somebody is, read before anyone else has to refuse it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import jwt

from core.auth.tokens import ALGORITHM
from core.errors import InvalidInputError
from core.settings import Secret

_CLIENT_HINT: Final = "ask whoever runs the issuer to change it for this client"


@dataclass(frozen=True, slots=True)
class Identity:
    """Not verified here: it came from the issuer itself, and Postgres verifies it again."""

    token: Secret
    issuer: str
    subject: str
    audience: str
    expires_at: datetime


def identify(token: Secret, *, issuer: str, audience: str) -> Identity:
    """Read an id token. Raises InvalidInputError when flagctl could not use it."""
    try:
        decoded = jwt.decode_complete(token.reveal(), options={"verify_signature": False})
    except (jwt.PyJWTError, ValueError):
        raise InvalidInputError(f"what {issuer} gave as id_token is not a JWT") from None
    header, claims = decoded["header"], decoded["payload"]
    _check_signer(header, claims, issuer)
    _check_audience(claims.get("aud"), audience)
    subject = claims.get("sub")
    if not isinstance(subject, str) or not subject:
        raise InvalidInputError("the id token does not say who it is for: it has no `sub`")
    return Identity(token, issuer, subject, audience, _expiry(claims))


def _check_signer(header: dict[str, Any], claims: dict[str, Any], issuer: str) -> None:
    if claims.get("iss") != issuer:
        raise InvalidInputError(
            f"the id token is of {_shown(claims.get('iss'))}, not of {issuer!r}",
            hint="name the issuer exactly as its tokens do",
        )
    if header.get("alg") != ALGORITHM:
        raise InvalidInputError(
            f"the id token is signed with {_shown(header.get('alg'))}, flagctl takes {ALGORITHM}",
            hint=_CLIENT_HINT,
        )
    if not isinstance(header.get("kid"), str):
        raise InvalidInputError("the id token does not name its key (kid)", hint=_CLIENT_HINT)


def _check_audience(said: Any, audience: str) -> None:
    # A list of one would be refused too: what it stands for could grow.
    if said != audience:
        raise InvalidInputError(
            f"the id token is for {_shown(said)}, not for {audience!r}",
            hint="--audience A, as `flagctl issuer list` shows it",
        )


def _expiry(claims: dict[str, Any]) -> datetime:
    try:
        return datetime.fromtimestamp(claims["exp"], UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        raise InvalidInputError("the id token does not say when it expires") from None


def _shown(value: Any) -> str:
    return "nothing" if value is None else repr(value)[:200]
