"""Admin tokens: JWTs signed with RS256. Pure: the key and the time are handed in.

Postgres verifies every token that is used (migrations: verify_token). The read server verifies
here first, so that junk costs no connection; one table of tests holds the two verdicts together.
"""

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

from core import json_text
from core.errors import InvalidInputError, UnauthenticatedError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

ALGORITHM: Final = "RS256"
LEEWAY: Final = timedelta(seconds=30)
MIN_KEY_BITS: Final = 2_048
MAX_KEY_BITS: Final = 4_096
PUBLIC_EXPONENT: Final = 65_537
_MAX_TOKEN_LENGTH: Final = 16_384
_MAX_SUBJECT_LENGTH: Final = 255
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_END_OF_TIME: Final = 253_402_300_799  # the year 9999, in seconds since 1970
_REQUIRED: Final = ("exp", "iat", "iss", "aud", "sub")
_FORM: Final = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_RESTORE: Final = "restore its file from a copy, or make a new one: `flagctl signing-key rotate`"
_ISSUE_HINT: Final = "get a new one with `flagctl token issue EMAIL`"


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A public RSA key that may sign for one issuer, as its big-endian modulus; the exponent is
    always 65537. Lifetimes are bounded."""

    issuer: str
    key_id: str
    modulus: bytes
    audience: str
    max_lifetime: timedelta


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says. `token_id` (jti) is there for the built-in issuer's tokens."""

    issuer: str
    subject: str
    issued_at: datetime
    expires_at: datetime
    token_id: str | None


@dataclass(frozen=True, slots=True)
class Origin:
    """Who a token claims to be from. Not verified: good for choosing the key, nothing else."""

    issuer: str
    key_id: str


def origin(token: str) -> Origin:
    """Read which key a token asks for. Raises UnauthenticatedError when it is no such JWT."""
    header, payload = _parts(token)
    if header.get("alg") != ALGORITHM:
        raise UnauthenticatedError(
            f"the token is signed with {header.get('alg')!r}, flagctl takes {ALGORITHM} only",
            hint=_ISSUE_HINT,
        )
    if "crit" in header or "b64" in header:
        raise UnauthenticatedError(
            "the token has a critical header that flagctl does not know", hint=_ISSUE_HINT
        )
    key_id, issuer = header.get("kid"), payload.get("iss")
    if not isinstance(key_id, str) or not isinstance(issuer, str):
        raise UnauthenticatedError(
            "the token does not say who signed it: it needs `kid` and `iss`", hint=_ISSUE_HINT
        )
    return Origin(issuer, key_id)


def verify(token: str, key: TrustedKey, now: datetime) -> Claims:
    """Check the signature and every claim. Raises UnauthenticatedError that says what is wrong.

    The algorithm is fixed here, never taken from the token.
    """
    import jwt  # deferred: cryptography is slow to import, and `--help` needs none of it

    if origin(token) != Origin(key.issuer, key.key_id):
        raise UnauthenticatedError("the token names another key than the one it is checked with")
    try:
        payload = jwt.decode(
            token,
            _public_key(key.modulus),
            algorithms=[ALGORITHM],
            audience=key.audience,
            issuer=key.issuer,
            # The times are checked below, against the time handed in.
            options={
                "require": list(_REQUIRED),
                "verify_exp": False,
                "verify_iat": False,
                "verify_nbf": False,
                "strict_aud": True,
            },
        )
    except jwt.MissingRequiredClaimError as error:
        raise UnauthenticatedError(f"the token has no `{error.claim}`", hint=_ISSUE_HINT) from None
    except jwt.InvalidSignatureError:
        raise UnauthenticatedError(
            "the token's signature is wrong: it was altered, or signed by another key",
            hint=_ISSUE_HINT,
        ) from None
    except jwt.InvalidAudienceError:
        raise UnauthenticatedError(
            f"the token is for another audience than {key.audience!r}", hint=_ISSUE_HINT
        ) from None
    except (jwt.PyJWTError, InvalidInputError, ValueError) as error:
        raise UnauthenticatedError(f"the token is not valid: {error}", hint=_ISSUE_HINT) from None
    return _claims(payload, key, now)


def _claims(payload: dict[str, Any], key: TrustedKey, now: datetime) -> Claims:
    issued, expires = _time(payload, "iat"), _time(payload, "exp")
    starts = max(issued, _time(payload, "nbf")) if "nbf" in payload else issued
    subject, token_id = payload["sub"], payload.get("jti")
    if not isinstance(subject, str) or not 1 <= len(subject) <= _MAX_SUBJECT_LENGTH:
        raise UnauthenticatedError(
            f"the token's `sub` is not a text of 1 to {_MAX_SUBJECT_LENGTH} characters",
            hint=_ISSUE_HINT,
        )
    if "jti" in payload and not isinstance(token_id, str):
        raise UnauthenticatedError("the token's `jti` is not a text", hint=_ISSUE_HINT)
    if expires <= _seconds(now - _EPOCH - LEEWAY):
        raise UnauthenticatedError(f"the token expired at {_shown(expires)}", hint=_ISSUE_HINT)
    if starts > _seconds(now - _EPOCH + LEEWAY):
        raise UnauthenticatedError(
            f"the token is not valid before {_shown(starts)}",
            hint="check the clocks of this machine and of the issuer",
        )
    if expires - issued > _seconds(key.max_lifetime):
        raise UnauthenticatedError(
            f"the token lives longer than its issuer may give: {key.max_lifetime}",
            hint=_ISSUE_HINT,
        )
    return Claims(key.issuer, subject, _datetime(issued), _datetime(expires), token_id)


def _time(payload: dict[str, Any], name: str) -> Fraction:
    """Seconds since 1970, exactly as the token says: datetimes end at microseconds, and rounded
    they can fall on the other side of an edge than in Postgres."""
    value = payload[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise UnauthenticatedError(f"the token's `{name}` is not a number", hint=_ISSUE_HINT)
    if not 0 <= value <= _END_OF_TIME:
        raise UnauthenticatedError(f"the token's `{name}` is out of range", hint=_ISSUE_HINT)
    return Fraction(repr(value))


def _seconds(duration: timedelta) -> Fraction:
    return Fraction(duration // timedelta(microseconds=1), 1_000_000)


def _datetime(seconds: Fraction) -> datetime:
    return _EPOCH + timedelta(microseconds=int(seconds * 1_000_000))


def _shown(seconds: Fraction) -> str:
    return f"{_datetime(seconds):%Y-%m-%d %H:%M:%S} UTC"


def _parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    if len(token) > _MAX_TOKEN_LENGTH or not _FORM.fullmatch(token):
        raise UnauthenticatedError("the token is not a JWT of three parts", hint=_ISSUE_HINT)
    header, payload, signature = token.split(".")
    try:
        _decode(signature)
        return _object(header, "header"), _object(payload, "claims")
    except InvalidInputError as error:
        raise UnauthenticatedError(f"the token cannot be read: {error}", hint=_ISSUE_HINT) from None


def _object(part: str, what: str) -> dict[str, Any]:
    value = json_text.parse(_decode(part), what=f"its {what}")
    if not isinstance(value, dict):
        raise InvalidInputError(f"its {what} are not an object")
    return value


def _decode(part: str) -> bytes:
    """Strict base64url: decoders that pass over stray bits accept altered tokens."""
    try:
        data = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise InvalidInputError("it is not base64url") from None
    if base64.urlsafe_b64encode(data).rstrip(b"=").decode() != part:
        raise InvalidInputError("it is not canonical base64url")
    return data


def sign(claims: dict[str, Any], private_key: str, key_id: str) -> str:
    """A compact JWT. `private_key` is PEM. Raises InvalidInputError for a key that is damaged."""
    import jwt

    key = load_private_key(private_key.encode())
    token = jwt.encode(claims, key, algorithm=ALGORITHM, headers={"kid": key_id})
    try:
        jwt.PyJWS().decode(token, key.public_key(), algorithms=[ALGORITHM])
    except jwt.InvalidSignatureError:
        raise InvalidInputError(
            f"the signing key {key_id} is damaged: what it signs cannot be verified",
            hint=_RESTORE,
        ) from None
    return token


def load_private_key(pem: bytes, passphrase: bytes | None = None) -> "RSAPrivateKey":
    """A private RSA key of PEM. Whether its primes are prime is not looked at, which takes forty
    times as long as to sign with it: `sign` verifies what it signed instead.

    Raises ValueError for what is none, TypeError for a passphrase that is missing, or too much;
    InvalidInputError for one that is damaged, or of another kind.
    """
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    key = load_pem_private_key(pem, passphrase, unsafe_skip_rsa_key_validation=True)
    if not isinstance(key, RSAPrivateKey):
        raise InvalidInputError("a signing key is an RSA key")
    numbers = key.private_numbers()
    if numbers.p * numbers.q != numbers.public_numbers.n:
        raise InvalidInputError("the signing key is damaged", hint=_RESTORE)
    return key


def modulus_of(public_key: str) -> bytes:
    """What is kept of a public key (PEM). Raises InvalidInputError for one that flagctl would not
    trust."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = load_pem_public_key(public_key.encode())
    if not isinstance(key, RSAPublicKey):
        raise InvalidInputError("a signing key is an RSA key")
    numbers = key.public_numbers()
    check_size(key.key_size, numbers.e)
    return numbers.n.to_bytes((key.key_size + 7) // 8)


def check_size(bits: int, exponent: int) -> None:
    """Refuse what Postgres could not verify quickly, or nobody should. Raises InvalidInputError."""
    if not MIN_KEY_BITS <= bits <= MAX_KEY_BITS or exponent != PUBLIC_EXPONENT:
        raise InvalidInputError(
            f"a signing key has {MIN_KEY_BITS} to {MAX_KEY_BITS} bits and the exponent"
            f" {PUBLIC_EXPONENT}, not {bits} and {exponent}"
        )


def _public_key(modulus: bytes) -> Any:
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers

    number = int.from_bytes(modulus)
    check_size(number.bit_length(), PUBLIC_EXPONENT)
    return RSAPublicNumbers(PUBLIC_EXPONENT, number).public_key()


def generate_key_pair(bits: int = 3_072) -> tuple[str, str]:
    """A new RSA key: (private PEM in PKCS #8, public PEM)."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    private = rsa.generate_private_key(public_exponent=PUBLIC_EXPONENT, key_size=bits)
    return (
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ).decode(),
        private.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode(),
    )


def key_id_of(public_key: str) -> str:
    """A short name for a public key, from its digest."""
    return hashlib.sha256(public_key.encode()).hexdigest()[:16]
