"""API keys: `fcs_` or `fcc_`, the environment's public id, a secret, a checksum.

    fcs_ 0123456789abcdef 9mSZ…32 characters…k2 1a2B3c
    kind environment      190 random bits       CRC-32 of all before it

A mistyped key is refused without a look-up, and the environment is known from the key alone.
"""

import hashlib
import re
import secrets
import zlib
from dataclasses import dataclass
from enum import StrEnum

_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_SECRET_LENGTH = 32  # 190 bits
_CHECKSUM_LENGTH = 6
_FORM = re.compile(
    rf"(fcs|fcc)_([0-9a-f]{{16}})[0-9A-Za-z]{{{_SECRET_LENGTH}}}([0-9A-Za-z]{{{_CHECKSUM_LENGTH}}})",
    re.ASCII,
)


class KeyKind(StrEnum):
    """A client key is for browsers: it sees only what is client-visible."""

    SERVER = "server"
    CLIENT = "client"


_PREFIXES = {KeyKind.SERVER: "fcs", KeyKind.CLIENT: "fcc"}
_KINDS = {prefix: kind for kind, prefix in _PREFIXES.items()}


@dataclass(frozen=True, slots=True)
class ParsedKey:
    """What a well-formed key says of itself; whether it is known is the snapshot's to say."""

    kind: KeyKind
    environment_id: str
    digest: bytes


def generate(kind: KeyKind, environment_id: str) -> str:
    """A new key. It is shown once; only `digest` of it is kept."""
    secret = "".join(secrets.choice(_ALPHABET) for _ in range(_SECRET_LENGTH))
    body = f"{_PREFIXES[kind]}_{environment_id}{secret}"
    return body + _checksum(body)


def parse(key: str) -> ParsedKey | None:
    """Read a key; None when its form or checksum is wrong."""
    match = _FORM.fullmatch(key)
    if match is None or _checksum(key[:-_CHECKSUM_LENGTH]) != match[3]:
        return None
    return ParsedKey(_KINDS[match[1]], match[2], digest(key))


def digest(key: str) -> bytes:
    """SHA-256: enough for a random secret of 190 bits."""
    return hashlib.sha256(key.encode("ascii")).digest()


def _checksum(body: str) -> str:
    number = zlib.crc32(body.encode("ascii"))
    digits = ""
    for _ in range(_CHECKSUM_LENGTH):
        number, remainder = divmod(number, len(_ALPHABET))
        digits = _ALPHABET[remainder] + digits
    return digits
