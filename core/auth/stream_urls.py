"""Tokens for the addresses of event streams, since a browser's EventSource sends no headers.

    0123456789abcdef . 1a2b3c4d . 41205 . 9mSZ…32 characters…k2
    environment        key's id   half-day HMAC of all before it

Nothing of the API key is in one, and it opens streams alone. It is the same for a key for twelve
hours, so that a client's next answer does not make it connect anew, and good for thirty-six.
"""

import hashlib
import hmac
import re
from base64 import urlsafe_b64encode
from dataclasses import dataclass
from typing import Final

HALF_DAY: Final = 43_200  # seconds
_GOOD_FOR: Final = 3  # half-days, from the beginning of its own
_MAC_LENGTH: Final = 24  # bytes
_DOMAIN: Final = b"flagctl stream addresses of "
_FORM: Final = re.compile(
    r"([0-9a-f]{16})\.([0-9a-z]{1,32})\.([1-9][0-9]{0,8})\.[0-9A-Za-z_-]{32}", re.ASCII
)


@dataclass(frozen=True, slots=True)
class StreamToken:
    """What a well-formed token says of itself; whether it is genuine, `is_genuine` tells."""

    environment_id: str
    key_id: str
    half_day: int
    text: str

    @property
    def ends_at(self) -> int:
        """Seconds since 1970."""
        return (self.half_day + _GOOD_FOR) * HALF_DAY

    def is_good(self, now: float) -> bool:
        """Whether it may be used now. One half-day early: clocks of two servers differ."""
        return (self.half_day - 1) * HALF_DAY <= now < self.ends_at


def secret_of(snapshot_key: bytes, environment_id: str) -> bytes:
    """The secret of an environment's tokens: made from what only readers can read in Postgres, so
    that all of them agree, and a restart changes nothing."""
    return hmac.digest(snapshot_key, _DOMAIN + environment_id.encode(), hashlib.sha256)


def half_day_of(now: float) -> int:
    """The number of the half-day; `now` in seconds since 1970."""
    return int(now // HALF_DAY)


def token(secret: bytes, environment_id: str, key_id: str, half_day: int) -> str:
    body = f"{environment_id}.{key_id}.{half_day}"
    mac = hmac.digest(secret, body.encode(), hashlib.sha256)[:_MAC_LENGTH]
    return f"{body}.{urlsafe_b64encode(mac).decode()}"


def parse(text: str) -> StreamToken | None:
    """Read a token; None when its form is wrong."""
    match = _FORM.fullmatch(text)
    return StreamToken(match[1], match[2], int(match[3]), text) if match is not None else None


def is_genuine(claimed: StreamToken, secret: bytes) -> bool:
    """Without a secret, none is."""
    expected = token(secret, claimed.environment_id, claimed.key_id, claimed.half_day)
    return bool(secret) and hmac.compare_digest(expected, claimed.text)
