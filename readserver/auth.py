"""API keys on requests; a malformed one is refused without any look-up."""

import time
from collections.abc import Iterable
from typing import Final

from core.auth import api_keys, stream_urls
from core.auth.api_keys import ParsedKey
from core.auth.stream_urls import StreamToken
from core.errors import UnauthenticatedError
from core.snapshot.document import KeyGrant, Snapshot
from readserver.answers import Header

CREDENTIAL_HEADERS: Final = (b"authorization", b"x-api-key")
_BLANKS: Final = " \t"  # what HTTP says; str.strip alone takes \xa0 and \x85 as well
_LONGEST_REMEMBERED: Final = 100  # bytes
_USUALLY_BEFORE: Final = (b"", b"Bearer ", b"bearer ")  # the key
_HINT: Final = "send `Authorization: KEY`; `flagctl key create NAME --env ENV` makes a key"
STREAM_HINT: Final = "ask for the flags again: the answer names the present address"


def credential(headers: Iterable[Header]) -> bytes:
    """The one value that authenticates. Raises UnauthenticatedError when there is none, or two."""
    values = {value for name, value in headers if name in CREDENTIAL_HEADERS}
    if not values:
        raise UnauthenticatedError("there is no API key", hint=_HINT)
    if len(values) > 1:
        raise UnauthenticatedError("there is more than one API key", hint="send one")
    return values.pop()


def bearer(value: bytes) -> str:
    """What is in `KEY` or `Bearer KEY`."""
    text = value.decode("latin-1").strip(_BLANKS)
    scheme, separator, rest = text.partition(" ")
    return rest.strip(_BLANKS) if separator and scheme.lower() == "bearer" else text


def is_canonical(value: bytes) -> bool:
    """Whether it is one of the three usual forms of its key. The others are many (blanks, letters
    of either case): to remember them would push out what other keys got."""
    before = value[: value.rfind(b" ") + 1]
    return len(value) <= _LONGEST_REMEMBERED and before in _USUALLY_BEFORE and b"\t" not in value


def parse(value: bytes) -> ParsedKey:
    """Raises UnauthenticatedError for what cannot be a key of flagctl's."""
    parsed = api_keys.parse(bearer(value))
    if parsed is None:
        raise UnauthenticatedError("the API key is malformed: it was mistyped or cut", hint=_HINT)
    return parsed


def authenticate(key: ParsedKey, snapshot: Snapshot | None) -> KeyGrant:
    """Find the key in its environment's snapshot. Raises UnauthenticatedError.

    An unknown, a revoked and an expired key, and one of a deleted environment, are refused alike.
    """
    grant = snapshot.auth.keys.get(key.digest) if snapshot is not None else None
    if grant is None or grant.kind is not key.kind or time.time() >= expires_at(grant):
        raise UnauthenticatedError("the API key is unknown, revoked or expired", hint=_HINT)
    return grant


def authenticate_stream(token: StreamToken, snapshot: Snapshot | None) -> tuple[bytes, KeyGrant]:
    """The digest and grant of the key that an address was made for. Raises UnauthenticatedError."""
    now = time.time()
    if snapshot is not None and token.is_good(now):
        for digest, grant in snapshot.auth.keys.items():
            if grant.id == token.key_id and now < expires_at(grant):
                if stream_urls.is_genuine(token, snapshot.auth.stream_secret):
                    return digest, grant
                break
    raise UnauthenticatedError(
        "the token is not genuine or has expired, or its API key was revoked", hint=STREAM_HINT
    )


def expires_at(grant: KeyGrant) -> float:
    """Seconds since 1970 by the wall clock; infinity for a key without an end."""
    return grant.expires_at.timestamp() if grant.expires_at is not None else float("inf")
