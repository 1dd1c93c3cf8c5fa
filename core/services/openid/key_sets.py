"""The keys an issuer signs with: RSA keys for RS256, and a sentence for each that is left out."""

from collections import Counter
from dataclasses import dataclass
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt import PyJWK, PyJWKClient, PyJWTError

from core.auth.tokens import ALGORITHM, MAX_KEY_BITS, MIN_KEY_BITS, PUBLIC_EXPONENT
from core.errors import InvalidInputError
from core.services.openid.discovery import discover
from core.services.openid.transport import Transport

_MAX_KEY_ID: Final = 255
_MOST_SENTENCES: Final = 20  # of a set that is nothing but wrong


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key. Its exponent is 65537, as that of every key flagctl takes."""

    key_id: str
    modulus: int

    @property
    def modulus_bytes(self) -> bytes:
        """Big-endian, without leading zeros: as it is stored."""
        return self.modulus.to_bytes((self.modulus.bit_length() + 7) // 8)


@dataclass(frozen=True, slots=True)
class KeySet:
    """The keys that can be trusted, and a sentence for each of the others."""

    keys: tuple[SigningKey, ...]
    left_out: tuple[str, ...] = ()


class KeySetClient(PyJWKClient):
    """PyJWT's client, asking as flagctl asks: its own way has no end to size and time."""

    def __init__(self, uri: str, transport: Transport) -> None:
        super().__init__(uri, cache_jwk_set=False, timeout=transport.seconds)
        self._transport = transport

    def fetch_data(self) -> dict[str, Any]:
        return self._transport.get(self.uri, what="the key set").document()


def fetch_keys(issuer: str, transport: Transport, *, jwks_url: str | None = None) -> KeySet:
    """The keys of an issuer, from where its discovery document says or from `jwks_url`.

    Raises UnavailableError, and InvalidInputError when no key is left.
    """
    uri = jwks_url or discover(issuer, transport).jwks_uri
    return usable_keys(KeySetClient(uri, transport).fetch_data(), source=uri)


def usable_keys(document: dict[str, Any], *, source: str) -> KeySet:
    """Choose from a key set. Raises InvalidInputError when it has nothing to choose from."""
    entries = document.get("keys")
    if not isinstance(entries, list):
        raise InvalidInputError(f"the key set at {source} has no list of keys")
    keys: list[SigningKey] = []
    left_out: list[str] = []
    for number, entry in enumerate(entries, 1):
        try:
            keys.append(_signing_key(entry))
        except InvalidInputError as error:
            left_out.append(f"key {_name(entry, number)} {error.message}")
    counts = Counter(key.key_id for key in keys)
    left_out += [
        f"key {key_id!r} is there {count} times: which one signs cannot be told"
        for key_id, count in counts.items()
        if count > 1
    ]
    chosen = tuple(key for key in keys if counts[key.key_id] == 1)
    if not chosen:
        raise InvalidInputError(f"the key set at {source} has no key to trust" + _because(left_out))
    return KeySet(chosen, tuple(left_out))


def _because(left_out: list[str]) -> str:
    if not left_out:
        return ": it is empty"
    shown = left_out[:_MOST_SENTENCES]
    more = len(left_out) - len(shown)
    return "".join(f"\n  {line}" for line in shown) + (f"\n  and {more} more" if more else "")


def _name(entry: Any, number: int) -> str:
    """A key's id, or its place in the set; never all of it: it may hold a private half."""
    key_id = entry.get("kid") if isinstance(entry, dict) else None
    return repr(key_id[:60]) if isinstance(key_id, str) and key_id else f"number {number}"


def _signing_key(entry: Any) -> SigningKey:
    """Raises InvalidInputError with the end of a sentence that begins with the key."""
    if not isinstance(entry, dict):
        raise InvalidInputError("is not an object")
    _check_purpose(entry)
    key_id = entry.get("kid")
    if not isinstance(key_id, str) or not key_id:
        raise InvalidInputError("has no id (kid)")
    if len(key_id) > _MAX_KEY_ID or not key_id.isprintable():
        raise InvalidInputError(f"has an id of more than {_MAX_KEY_ID} or unprintable characters")
    return SigningKey(key_id, _modulus(entry))


def _check_purpose(entry: dict[str, Any]) -> None:
    if entry.get("kty") != "RSA":
        raise InvalidInputError(f"is not an RSA key: {_shown(entry.get('kty'))}")
    if "d" in entry:
        raise InvalidInputError("shows its private half: anyone can sign with it")
    if entry.get("use", "sig") != "sig":
        raise InvalidInputError(f"is not for signatures: use is {_shown(entry['use'])}")
    uses = entry.get("key_ops", ["verify"])
    if not isinstance(uses, list) or "verify" not in uses:
        raise InvalidInputError("is not for signatures: key_ops lacks verify")
    if entry.get("alg", ALGORITHM) != ALGORITHM:
        raise InvalidInputError(f"is not for {ALGORITHM}: alg is {_shown(entry['alg'])}")


def _modulus(entry: dict[str, Any]) -> int:
    try:
        key = PyJWK(entry, algorithm=ALGORITHM).key
    except (PyJWTError, ValueError, TypeError, KeyError):
        raise InvalidInputError("cannot be read") from None
    if not isinstance(key, RSAPublicKey):
        raise InvalidInputError("is not a public RSA key")
    numbers = key.public_numbers()
    if not MIN_KEY_BITS <= key.key_size <= MAX_KEY_BITS:
        raise InvalidInputError(
            f"has {key.key_size} bits, not {MIN_KEY_BITS} to {MAX_KEY_BITS}",
        )
    if numbers.e != PUBLIC_EXPONENT:
        raise InvalidInputError(f"has the exponent {numbers.e}, not {PUBLIC_EXPONENT}")
    if numbers.n % 2 == 0:
        raise InvalidInputError("is no product of two primes")
    return numbers.n


def _shown(value: Any) -> str:
    return repr(value[:40]) if isinstance(value, str) else "nothing that is known"
