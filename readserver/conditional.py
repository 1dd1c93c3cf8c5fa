"""Conditional requests and content negotiation: total functions over header bytes."""

import re
from functools import lru_cache
from typing import Final

# An entity tag, weak or strong, and what may stand before it (RFC 9110, 8.8.3 and 13.1.2).
_TAG: Final = re.compile(rb'[\s,]*(?:W/)?("[\x21\x23-\x7e\x80-\xff]*")')


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


@lru_cache(maxsize=256)
def accepts_gzip(accept_encoding: bytes) -> bool:
    """Whether the client takes gzip: named, or by `*`, and not with `q=0`."""
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
