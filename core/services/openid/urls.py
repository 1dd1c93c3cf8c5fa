"""Addresses of an issuer: https only, and nothing in them that an error should not show."""

import re
from typing import Final
from urllib.parse import SplitResult, urlsplit

from core.errors import InvalidInputError

_MAX_LENGTH: Final = 1_000
_CHARACTERS: Final = re.compile(r"[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=%-]+", re.ASCII)


def check_issuer(issuer: str) -> str:
    """An issuer's name is an address without query and fragment. Raises InvalidInputError."""
    if check_https(issuer, what="the issuer").query or "?" in issuer:
        raise InvalidInputError(f"the issuer {issuer!r} has a query, which no issuer has")
    return issuer


def check_https(url: str, *, what: str) -> SplitResult:
    """An address that may be asked, in its parts. Raises InvalidInputError."""
    if "@" in url:  # not shown: a password may stand before it
        raise InvalidInputError(
            f"{what} has an @ in its address", hint="an address carries no user and no password"
        )
    shown = repr(url if len(url) <= 200 else f"{url[:197]}...")
    if not url.startswith("https://"):
        raise InvalidInputError(
            f"{what} is not https: {shown}", hint="as in https://id.example.com"
        )
    if len(url) > _MAX_LENGTH or not _CHARACTERS.fullmatch(url):
        raise InvalidInputError(f"{what} is no address: {shown}")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise InvalidInputError(f"{what} is no address: {shown}: {error}") from None
    if not parts.hostname or port == 0:
        raise InvalidInputError(f"{what} is no address: {shown}")
    if "#" in url:
        raise InvalidInputError(f"{what} has a fragment: {shown}")
    return parts
