"""Makes tokens: whatever header and claims, correctly signed, or with a forged signature."""

import base64
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache, cached_property
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

from core.auth import tokens
from core.auth.tokens import PUBLIC_EXPONENT, TrustedKey
from core.errors import UnauthenticatedError

NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
START = int(NOW.timestamp())
HOUR = 3_600
LEEWAY = 30
MAX_LIFETIME = timedelta(hours=24)
ISSUER = "https://login.example.com"
AUDIENCE = "flagctl"
SUBJECT = "ann@example.com"
KEY_ID = "key-1"
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
SIZES = (2_048, 2_049, 3_072, 4_096)


def b64(data: bytes | str) -> str:
    raw = data if isinstance(data, bytes) else data.encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def unb64(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def uncanonical(part: str) -> str:
    """The same bytes in base64 with stray bits in the last character."""
    changed = (part[:-1] + character for character in ALPHABET)
    return next(other for other in changed if other != part and unb64(other) == unb64(part))


@dataclass(frozen=True)
class Maker:
    """Signs with a key that is trusted, and with a foreign one of its size."""

    private: rsa.RSAPrivateKey
    foreign: rsa.RSAPrivateKey
    claims: dict[str, Any] = field(
        default_factory=lambda: {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": SUBJECT,
            "jti": "7",
            "iat": START,
            "exp": START + HOUR,
        }
    )
    header: dict[str, Any] = field(default_factory=lambda: {"alg": "RS256", "kid": KEY_ID})

    @property
    def trusted(self) -> TrustedKey:
        return TrustedKey(ISSUER, KEY_ID, self.modulus, AUDIENCE, MAX_LIFETIME)

    @property
    def size(self) -> int:
        """Of a signature, in bytes."""
        return (self.private.key_size + 7) // 8

    @property
    def n(self) -> int:
        return self.private.public_key().public_numbers().n

    @property
    def modulus(self) -> bytes:
        return self.n.to_bytes(self.size)

    @cached_property
    def good(self) -> str:
        return self.signed()

    @property
    def parts(self) -> tuple[str, str, str]:
        """Of the good token: header, claims, signature."""
        head, body, signature = self.good.split(".")
        return head, body, signature

    def message(
        self,
        payload: bytes | str | dict[str, Any] | None = None,
        header: bytes | str | dict[str, Any] | None = None,
    ) -> str:
        """The two parts that are signed, from documents or from texts as they stand."""
        return ".".join(
            b64(json.dumps(part) if isinstance(part, dict) else part)
            for part in (
                self.header if header is None else header,
                self.claims if payload is None else payload,
            )
        )

    def signed(
        self,
        payload: bytes | str | dict[str, Any] | None = None,
        header: bytes | str | dict[str, Any] | None = None,
        *,
        foreign: bool = False,
        algorithm: str = "RS256",
    ) -> str:
        """A token with a correct signature over whatever it is given."""
        return self.sealed(self.message(payload, header), foreign=foreign, algorithm=algorithm)

    def sealed(self, message: str, *, foreign: bool = False, algorithm: str = "RS256") -> str:
        """Two parts as they stand with a correct signature behind."""
        key = self.foreign if foreign else self.private
        signature = jwt.get_algorithm_by_name(algorithm).sign(message.encode(), key)
        return f"{message}.{b64(signature)}"

    def with_claims(self, **changed: Any) -> str:
        return self.signed({**self.claims, **changed})

    def without(self, claim: str) -> str:
        return self.signed({name: v for name, v in self.claims.items() if name != claim})

    def with_header(self, **changed: Any) -> str:
        return self.signed(None, {**self.header, **changed})

    def with_claim_text(self, name: str, text: str) -> str:
        """A claim as JSON text: numbers that no double holds, escapes, what is no JSON at all."""
        others = {n: v for n, v in self.claims.items() if n != name}
        return self.signed(f'{json.dumps(others)[:-1]}, "{name}": {text}}}')

    def with_part(self, place: int, text: str) -> str:
        parts = list(self.parts)
        parts[place] = text
        return ".".join(parts)

    def with_signature(self, signature: bytes) -> str:
        """The good token's header and claims with another signature."""
        return self.with_part(2, b64(signature))

    def with_number(self, number: int) -> str:
        return self.with_signature(number.to_bytes(max(self.size, (number.bit_length() + 7) // 8)))

    def raised(self, block: bytes) -> str:
        """Signed with the private key as it is: only the padded block itself can be wrong."""
        number, key = int.from_bytes(block), self._numbers
        # Modulo each prime, then put together: a quarter of the time that modulo n takes.
        by_p, by_q = pow(number, key.dmp1, key.p), pow(number, key.dmq1, key.q)
        power = by_q + (by_p - by_q) * key.iqmp % key.p * key.q
        assert pow(power, PUBLIC_EXPONENT, self.n) == number % self.n
        return self.with_number(power)

    @cached_property
    def _numbers(self) -> rsa.RSAPrivateNumbers:
        return self.private.private_numbers()


@cache
def maker(bits: int = 2_048) -> Maker:
    """With new keys of this size, the same ones in one run."""
    return Maker(_new_key(bits), _new_key(bits))


def _new_key(bits: int) -> rsa.RSAPrivateKey:
    """OpenSSL makes keys of an even number of bits; others are put together from primes of two."""
    if bits % 2 == 0:
        return rsa.generate_private_key(PUBLIC_EXPONENT, bits)
    p, q = (_new_key(size).private_numbers().p for size in (bits - 1, bits + 1))
    d = pow(PUBLIC_EXPONENT, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(
        *(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p)),
        rsa.RSAPublicNumbers(PUBLIC_EXPONENT, p * q),
    )
    key = numbers.private_key()
    assert key.key_size == bits
    return key


def verdict(maker: Maker, token: str, at: datetime = NOW) -> tokens.Claims | str:
    """What PyJWT and our checks say: the claims, or why not."""
    try:
        return tokens.verify(token, maker.trusted, at)
    except UnauthenticatedError as error:
        return error.message
