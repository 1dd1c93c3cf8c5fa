import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest

from core.auth import tokens
from core.auth.tokens import Claims, TrustedKey
from core.errors import UnauthenticatedError

NOW = datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC)
START = int(NOW.timestamp())
HOUR = 3_600
LEEWAY = 30
PRIVATE, PUBLIC = tokens.generate_key_pair(2_048)
FOREIGN, FOREIGN_PUBLIC = tokens.generate_key_pair(2_048)
MODULUS = tokens.modulus_of(PUBLIC)
KEY = TrustedKey("urn:us", "key-1", MODULUS, "flagctl", timedelta(hours=24))
CLAIMS: dict[str, Any] = {
    "iss": "urn:us",
    "aud": "flagctl",
    "sub": "ann@example.com",
    "jti": "7",
    "iat": START,
    "exp": START + HOUR,
}
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def b64(data: bytes | str) -> str:
    raw = data if isinstance(data, bytes) else data.encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def signed(
    payload: str | dict[str, Any],
    header: str | dict[str, Any] | None = None,
    *,
    key: str = PRIVATE,
    algorithm: str = "RS256",
) -> str:
    """A token with a correct signature over whatever header and claims, as text if need be."""
    header = {"alg": "RS256", "kid": "key-1"} if header is None else header
    head = header if isinstance(header, str) else json.dumps(header)
    body = payload if isinstance(payload, str) else json.dumps(payload)
    message = f"{b64(head)}.{b64(body)}"
    implementation = jwt.get_algorithm_by_name(algorithm)
    signature = implementation.sign(message.encode(), implementation.prepare_key(key))
    return f"{message}.{b64(signature)}"


def with_claims(**changed: Any) -> str:
    return signed({**CLAIMS, **changed})


def without(name: str) -> str:
    return signed({key: value for key, value in CLAIMS.items() if key != name})


def with_header(**changed: Any) -> str:
    return signed(CLAIMS, {"alg": "RS256", "kid": "key-1", **changed})


def hs256(secret: str) -> str:
    """What PyJWT refuses to make: HMAC with a public key as its secret."""
    message = f"{b64(json.dumps({'alg': 'HS256', 'kid': 'key-1'}))}.{b64(json.dumps(CLAIMS))}"
    return f"{message}.{b64(hmac.digest(secret.encode(), message.encode(), hashlib.sha256))}"


def with_part(place: int, text: str) -> str:
    parts = GOOD.split(".")
    parts[place] = text
    return ".".join(parts)


def uncanonical(part: str) -> str:
    """The same bytes in base64 with stray bits in the last character."""
    decoded = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    return next(
        changed
        for changed in (part[:-1] + character for character in ALPHABET)
        if changed != part
        and base64.urlsafe_b64decode(changed + "=" * (-len(changed) % 4)) == decoded
    )


GOOD = signed(CLAIMS)
HEAD, BODY, SIGNATURE = GOOD.split(".")
NONE_HEAD = b64(json.dumps({"alg": "none", "kid": "key-1"}))
DUPLICATE = json.dumps(CLAIMS)[:-1] + ', "sub": "root@example.com"}'


def test_a_good_token() -> None:
    assert tokens.verify(GOOD, KEY, NOW) == Claims(
        "urn:us", "ann@example.com", NOW, NOW + timedelta(hours=1), "7"
    )


def test_what_flagctl_signs_it_takes() -> None:
    token = tokens.sign(CLAIMS, PRIVATE, "key-1")
    assert tokens.verify(token, KEY, NOW).subject == "ann@example.com"
    assert tokens.origin(token) == tokens.Origin("urn:us", "key-1")


@pytest.mark.parametrize(
    "token", [with_claims(iat=START + 0.5), without("jti"), with_claims(x=[1])]
)
def test_other_good_tokens(token: str) -> None:
    assert tokens.verify(token, KEY, NOW).subject == "ann@example.com"


SIGNED_WRONGLY = "signature is wrong"
NO_JWT = "is not a JWT of three parts"
RS256_ONLY = "flagctl takes RS256 only"
UNREADABLE = "the token cannot be read"
ATTACKS = {
    "signed by another key": (signed(CLAIMS, key=FOREIGN), SIGNED_WRONGLY),
    "no signature": (f"{HEAD}.{BODY}.", NO_JWT),
    "zeros as signature": (f"{HEAD}.{BODY}.{b64(bytes(256))}", SIGNED_WRONGLY),
    "short signature": (f"{HEAD}.{BODY}.{b64(b'x')}", SIGNED_WRONGLY),
    "signature of another token": (
        with_part(2, with_claims(sub="b").split(".")[2]),
        SIGNED_WRONGLY,
    ),
    "claims of another token": (
        with_part(1, b64(json.dumps({**CLAIMS, "sub": "b"}))),
        SIGNED_WRONGLY,
    ),
    "alg none": (f"{NONE_HEAD}.{BODY}.", NO_JWT),
    "alg none, signed": (signed(CLAIMS, {"alg": "none", "kid": "key-1"}), RS256_ONLY),
    "alg None": (signed(CLAIMS, {"alg": "None", "kid": "key-1"}), RS256_ONLY),
    "alg rs256": (signed(CLAIMS, {"alg": "rs256", "kid": "key-1"}), RS256_ONLY),
    "no alg": (signed(CLAIMS, {"kid": "key-1"}), RS256_ONLY),
    "alg null": (with_header(alg=None), RS256_ONLY),
    "alg list": (with_header(alg=["RS256"]), RS256_ONLY),
    "HS256 with the public key": (hs256(PUBLIC), RS256_ONLY),
    "HS256 with the stripped public key": (hs256(PUBLIC.strip()), RS256_ONLY),
    "HS256 renamed": (with_part(2, hs256(PUBLIC).split(".")[2]), SIGNED_WRONGLY),
    "RS384": (signed(CLAIMS, {"alg": "RS384", "kid": "key-1"}, algorithm="RS384"), RS256_ONLY),
    "RS512": (signed(CLAIMS, {"alg": "RS512", "kid": "key-1"}, algorithm="RS512"), RS256_ONLY),
    "PS256": (signed(CLAIMS, {"alg": "PS256", "kid": "key-1"}, algorithm="PS256"), RS256_ONLY),
    "RS512 called RS256": (signed(CLAIMS, algorithm="RS512"), SIGNED_WRONGLY),
    "PS256 called RS256": (signed(CLAIMS, algorithm="PS256"), SIGNED_WRONGLY),
    "crit": (with_header(crit=["exp"]), "critical header"),
    "crit empty": (with_header(crit=[]), "critical header"),
    "b64 false": (with_header(b64=False), "critical header"),
    "its own key in the header": (
        signed(
            CLAIMS,
            {
                "alg": "RS256",
                "kid": "key-1",
                "jwk": {"kty": "RSA"},
                "jku": "https://x",
                "x5c": ["x"],
            },
            key=FOREIGN,
        ),
        SIGNED_WRONGLY,
    ),
    "unknown kid": (with_header(kid="key-2"), "names another key"),
    "kid as number": (with_header(kid=1), "does not say who signed it"),
    "no kid": (signed(CLAIMS, {"alg": "RS256"}), "does not say who signed it"),
    "kid path": (with_header(kid="../../dev/null"), "names another key"),
    "foreign issuer": (with_claims(iss="urn:them"), "names another key"),
    "issuer list": (with_claims(iss=["urn:us"]), "does not say who signed it"),
    "no iss": (without("iss"), "does not say who signed it"),
    "no exp": (without("exp"), "has no `exp`"),
    "no iat": (without("iat"), "has no `iat`"),
    "no aud": (without("aud"), "has no `aud`"),
    "no sub": (without("sub"), "has no `sub`"),
    "exp null": (with_claims(exp=None), "has no `exp`"),
    "expired": (
        with_claims(iat=START - 2 * HOUR, exp=START - HOUR),
        "expired at 2026-06-01 11:00:00",
    ),
    "exp zero": (with_claims(exp=0), "expired at 1970-01-01"),
    "exp negative": (with_claims(exp=-1), "out of range"),
    "not yet valid": (with_claims(iat=START + HOUR, exp=START + 2 * HOUR), "not valid before"),
    "nbf later": (with_claims(nbf=START + HOUR), "not valid before 2026-06-01 13:00:00"),
    "nbf text": (with_claims(nbf=str(START)), "`nbf` is not a number"),
    "exp text": (with_claims(exp=str(START + HOUR)), "`exp` is not a number"),
    "exp true": (with_claims(exp=True), "`exp` is not a number"),
    "exp list": (with_claims(exp=[START]), "`exp` is not a number"),
    "iat text": (with_claims(iat="now"), "`iat` is not a number"),
    "iat false": (with_claims(iat=False), "`iat` is not a number"),
    "exp in 9999": (with_claims(exp=253_402_300_799), "lives longer"),
    "exp after 9999": (with_claims(exp=253_402_300_800), "`exp` is out of range"),
    "exp huge": (with_claims(exp=10**300), "`exp` is out of range"),
    "exp 1e308": (with_claims(exp=1e308), "`exp` is out of range"),
    "iat long ago": (with_claims(iat=-(10**20)), "`iat` is out of range"),
    "exp NaN": (signed(json.dumps({**CLAIMS, "exp": float("nan")})), UNREADABLE),
    "exp Infinity": (signed(json.dumps({**CLAIMS, "exp": float("inf")})), UNREADABLE),
    "lives too long": (with_claims(exp=START + 24 * HOUR + 1), "lives longer than its issuer"),
    "foreign audience": (with_claims(aud="other"), "for another audience than 'flagctl'"),
    "audience list": (with_claims(aud=["flagctl"]), "for another audience than 'flagctl'"),
    "audience object": (with_claims(aud={"flagctl": 1}), "for another audience"),
    "audience empty": (with_claims(aud=""), "has no `aud`"),
    "sub number": (with_claims(sub=7), "is not valid"),
    "sub empty": (with_claims(sub=""), "`sub` is not a text"),
    "jti number": (with_claims(jti=7), "is not valid"),
    "duplicate claim": (signed(DUPLICATE), "stands twice"),
    "duplicate header": (
        signed(CLAIMS, '{"alg":"none","alg":"RS256","kid":"key-1"}'),
        "stands twice",
    ),
    "claims are a list": (signed("[1]"), UNREADABLE),
    "claims are no JSON": (signed("{"), UNREADABLE),
    "claims are nested": (signed('{"a":' * 100 + "1" + "}" * 100), UNREADABLE),
    "header is a text": (signed(CLAIMS, '"RS256"'), UNREADABLE),
    "two parts": (f"{HEAD}.{BODY}", NO_JWT),
    "four parts": (f"{GOOD}.{SIGNATURE}", NO_JWT),
    "five parts, as JWE": (f"{GOOD}.{BODY}.{SIGNATURE}", NO_JWT),
    "padded": (f"{GOOD}=", NO_JWT),
    "padded claims": (f"{HEAD}.{BODY}=.{SIGNATURE}", NO_JWT),
    "space in front": (f" {GOOD}", NO_JWT),
    "new line behind": (f"{GOOD}\n", NO_JWT),
    "space inside": (GOOD.replace(".", ". ", 1), NO_JWT),
    "Bearer": (f"Bearer {GOOD}", NO_JWT),
    "empty": ("", NO_JWT),
    "dots": ("..", NO_JWT),
    "full-width": (GOOD.replace("A", "Ａ", 1), NO_JWT),
    "standard base64": (f"{HEAD}.{BODY}.{SIGNATURE[:-1]}+", NO_JWT),
    "stray bits in the signature": (with_part(2, uncanonical(SIGNATURE)), "not canonical"),
    "a lone character": (with_part(2, SIGNATURE[:-1]), "base64url"),
    "very long": (GOOD + "A" * 20_000, NO_JWT),
    "not UTF-8": (f"{HEAD}.{b64(bytes([255, 254]))}.{SIGNATURE}", UNREADABLE),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused_with_what_is_wrong(name: str) -> None:
    token, words = ATTACKS[name]
    with pytest.raises(UnauthenticatedError) as caught:
        tokens.verify(token, KEY, NOW)
    assert words in caught.value.message
    assert token not in caught.value.message or not token


def padded_claims(token_of: Callable[[dict[str, Any]], str]) -> str:
    """A token whose claims part has stray bits to play with."""
    return next(
        token
        for token in (token_of({**CLAIMS, "x": "y" * n}) for n in range(3))
        if len(token.split(".")[1]) % 4
    )


def test_stray_bits_in_the_claims_are_refused() -> None:
    head, body, signature = padded_claims(signed).split(".")
    with pytest.raises(UnauthenticatedError, match="not canonical"):
        tokens.verify(f"{head}.{uncanonical(body)}.{signature}", KEY, NOW)


@pytest.mark.parametrize(
    ("claims", "good"),
    [
        ({"iat": START - HOUR, "exp": START - LEEWAY + 1}, True),
        ({"iat": START - HOUR, "exp": START - LEEWAY}, False),
        ({"iat": START + LEEWAY}, True),
        ({"iat": START + LEEWAY + 1}, False),
        ({"nbf": START + LEEWAY}, True),
        ({"nbf": START + LEEWAY + 1}, False),
        ({"exp": START + 24 * HOUR}, True),
        ({"iat": START - 1, "exp": START + 24 * HOUR}, False),
    ],
)
def test_the_edges_of_time(claims: dict[str, Any], good: bool) -> None:
    token = with_claims(**claims)
    if good:
        tokens.verify(token, KEY, NOW)
        return
    with pytest.raises(UnauthenticatedError):
        tokens.verify(token, KEY, NOW)


def test_every_single_change_is_refused() -> None:
    accepted = []
    for place, character in enumerate(GOOD):
        nearby = ALPHABET.find(character)
        for other in {ALPHABET[(nearby + step) % 64] for step in (1, 2, 16, 32)} - {character}:
            changed = GOOD[:place] + other + GOOD[place + 1 :]
            try:
                tokens.verify(changed, KEY, NOW)
            except UnauthenticatedError:
                continue
            accepted.append((place, other))
    assert accepted == []


def test_every_missing_or_doubled_character_is_refused() -> None:
    accepted = []
    for place in range(len(GOOD)):
        for changed in (
            GOOD[:place] + GOOD[place + 1 :],
            GOOD[:place] + GOOD[place] + GOOD[place:],
        ):
            try:
                tokens.verify(changed, KEY, NOW)
            except UnauthenticatedError:
                continue
            accepted.append(place)
    assert accepted == []


def test_a_key_of_another_kind_verifies_nothing() -> None:
    for wrong in (b"", b"\x03", MODULUS[1:], MODULUS * 3, tokens.modulus_of(FOREIGN_PUBLIC)):
        with pytest.raises(UnauthenticatedError):
            tokens.verify(
                GOOD, TrustedKey("urn:us", "key-1", wrong, "flagctl", KEY.max_lifetime), NOW
            )


def test_key_pairs_are_fresh_and_named_by_their_public_half() -> None:
    assert PRIVATE.startswith("-----BEGIN PRIVATE KEY-----")
    assert PUBLIC.startswith("-----BEGIN PUBLIC KEY-----")
    assert tokens.key_id_of(PUBLIC) == tokens.key_id_of(PUBLIC) != tokens.key_id_of(FOREIGN_PUBLIC)
    assert len(tokens.key_id_of(PUBLIC)) == 16
