"""Conditional requests and content negotiation: total functions over header bytes."""

import re
from collections.abc import Callable
from typing import Final

# An entity tag, weak or strong, and what may stand before it (RFC 9110, 8.8.3 and 13.1.2).
_TAG: Final = re.compile(rb'[\s,]*(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')
_MOST: Final = 256  # values of Accept-Encoding that are remembered
_LONGEST: Final = 128  # bytes of one


def matches(if_none_match: bytes, etag: bytes) -> bool:
    """Whether the field names this entity tag, by weak comparison. What cannot be read does not."""
    if if_none_match.strip() == b"*":
        return True
    position = 0
    while match := _TAG.match(if_none_match, position):
        if match[1] == etag:
            return True
        position = match.end()
    return False


def _accepts_gzip(accept_encoding: bytes) -> bool:
    wildcard = False
    for item in accept_encoding.lower().split(b","):
        coding, _, parameters = item.partition(b";")
        coding = coding.strip()
        if coding in (b"gzip", b"x-gzip"):
            return _quality(parameters) > 0
        if coding == b"*":
            wildcard = _quality(parameters) > 0
    return wildcard


def _quality(parameters: bytes) -> float:
    """The weight of a coding: 1 when there is none, 0 when it cannot be read."""
    for parameter in parameters.split(b";"):
        name, separator, value = parameter.partition(b"=")
        if name.strip() == b"q":
            try:
                return float(value) if separator else 0.0
            except ValueError:
                return 0.0
    return 1.0


class _Remembered(dict[bytes, bool]):
    """Clients send the same few values, all of them short. Other ones are read each time."""

    def __missing__(self, accept_encoding: bytes) -> bool:
        accepts = _accepts_gzip(accept_encoding)
        if len(accept_encoding) <= _LONGEST:
            if len(self) >= _MOST:
                self.clear()
            self[accept_encoding] = accepts
        return accepts


# Whether the client takes gzip by its Accept-Encoding: named, or by `*`, and not with `q=0`. Asked
# with nearly every request, so what is known is no call of a function in Python.
accepts_gzip: Final[Callable[[bytes], bool]] = _Remembered().__getitem__
