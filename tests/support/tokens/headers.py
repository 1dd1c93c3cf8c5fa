"""Headers: the algorithm is ours to choose, and nothing in a header changes how we verify."""

import hashlib
import hmac

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.support.tokens.case import Case, Table, accepted, refused
from tests.support.tokens.maker import KEY_ID, Maker, b64

RS256_ONLY = "flagctl takes RS256 only"
NAMELESS = "does not say who signed it"
CRITICAL = "critical header"
ANOTHER = "names another key"
UNREADABLE = "the token cannot be read"


def _hs256(maker: Maker, secret: bytes) -> str:
    """What PyJWT refuses to make: HMAC with a public key as its secret."""
    message = maker.message(None, {"alg": "HS256", "kid": KEY_ID})
    return f"{message}.{b64(hmac.digest(secret, message.encode(), hashlib.sha256))}"


def _pem(maker: Maker) -> bytes:
    return maker.private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def _alg(name: object) -> Case:
    return refused(lambda m: m.with_header(alg=name), RS256_ONLY)


HEADERS: Table = {
    "alg none, no signature": refused(
        lambda m: m.message(None, {"alg": "none", "kid": KEY_ID}) + ".", "three parts"
    ),
    **{
        f"alg {name!r}": _alg(name)
        for name in (
            *("none", "None", "NONE", "", "rs256", "Rs256", "RS256 ", " RS256", "RS256\n"),
            *("RS384", "RS512", "PS256", "ES256", "HS256", "EdDSA", "RSA", None, True, 256),
            *(["RS256"], {"RS256": 1}, [], {}),
        )
    },
    "no alg": refused(lambda m: m.signed(None, {"kid": KEY_ID}), RS256_ONLY),
    "Alg": refused(lambda m: m.signed(None, {"Alg": "RS256", "kid": KEY_ID}), RS256_ONLY),
    "HS256 with the public key": refused(lambda m: _hs256(m, _pem(m)), RS256_ONLY),
    "HS256 with the stripped public key": refused(lambda m: _hs256(m, _pem(m).strip()), RS256_ONLY),
    "HS256 with the modulus": refused(lambda m: _hs256(m, m.modulus), RS256_ONLY),
    "HS256 renamed": refused(
        lambda m: m.with_part(2, _hs256(m, _pem(m)).split(".")[2]), "signature is wrong"
    ),
    "RS384, signed so": refused(
        lambda m: m.signed(None, {**m.header, "alg": "RS384"}, algorithm="RS384"), RS256_ONLY
    ),
    "RS512, signed so": refused(
        lambda m: m.signed(None, {**m.header, "alg": "RS512"}, algorithm="RS512"), RS256_ONLY
    ),
    "PS256, signed so": refused(
        lambda m: m.signed(None, {**m.header, "alg": "PS256"}, algorithm="PS256"), RS256_ONLY
    ),
    "crit": refused(lambda m: m.with_header(crit=["exp"]), CRITICAL),
    "crit empty": refused(lambda m: m.with_header(crit=[]), CRITICAL),
    "crit null": refused(lambda m: m.with_header(crit=None), CRITICAL),
    "b64 false": refused(lambda m: m.with_header(b64=False), CRITICAL),
    "b64 true": refused(lambda m: m.with_header(b64=True), CRITICAL),
    "crit inside": accepted(lambda m: m.with_header(x={"crit": ["exp"], "b64": False})),
    "typ at+jwt": accepted(lambda m: m.with_header(typ="at+jwt")),
    "typ number": accepted(lambda m: m.with_header(typ=7)),
    "cty, zip and enc": accepted(lambda m: m.with_header(cty="JWT", zip="DEF", enc="A128GCM")),
    "another key, correctly signed": accepted(
        lambda m: m.with_header(jwk={"kty": "RSA"}, jku="https://x", x5u="https://x", x5c=["x"])
    ),
    "unknown kid": refused(lambda m: m.with_header(kid="key-2"), ANOTHER),
    "kid in other case": refused(lambda m: m.with_header(kid="KEY-1"), ANOTHER),
    "kid with a space": refused(lambda m: m.with_header(kid="key-1 "), ANOTHER),
    "kid path": refused(lambda m: m.with_header(kid="../../dev/null"), ANOTHER),
    "kid as SQL": refused(lambda m: m.with_header(kid="' OR true --"), ANOTHER),
    "kid with signs of format": refused(lambda m: m.with_header(kid="%s%I%2$s"), ANOTHER),
    "kid of 5,000 characters": refused(lambda m: m.with_header(kid="k" * 5_000), ANOTHER),
    "kid empty": refused(lambda m: m.with_header(kid=""), ANOTHER),
    "kid number": refused(lambda m: m.with_header(kid=1), NAMELESS),
    "kid null": refused(lambda m: m.with_header(kid=None), NAMELESS),
    "kid true": refused(lambda m: m.with_header(kid=True), NAMELESS),
    "kid list": refused(lambda m: m.with_header(kid=[KEY_ID]), NAMELESS),
    "no kid": refused(lambda m: m.signed(None, {"alg": "RS256"}), NAMELESS),
    "kid in escapes": accepted(
        lambda m: m.signed(None, r'{"\u0061lg":"\u0052S256","k\u0069d":"\u006bey-1"}')
    ),
    "alg twice": refused(
        lambda m: m.signed(None, '{"alg":"none","alg":"RS256","kid":"key-1"}'), "stands twice"
    ),
    "alg twice, the same": refused(
        lambda m: m.signed(None, '{"alg":"RS256","alg":"RS256","kid":"key-1"}'), "stands twice"
    ),
    "alg twice, in escapes": refused(
        lambda m: m.signed(None, r'{"alg":"RS256","\u0061lg":"none","kid":"key-1"}'), "stands twice"
    ),
    "something twice inside": refused(
        lambda m: m.signed(None, '{"alg":"RS256","kid":"key-1","x":[{"a":1,"a":1}]}'),
        "stands twice",
    ),
    "white space": accepted(
        lambda m: m.signed(None, ' \t\r\n{ "alg" :\n"RS256"\t,\r"kid" : "key-1" } \n')
    ),
    "form feed": refused(lambda m: m.signed(None, '\f{"alg":"RS256","kid":"key-1"}'), UNREADABLE),
    "byte order mark": refused(
        lambda m: m.signed(None, '\ufeff{"alg":"RS256","kid":"key-1"}'), UNREADABLE
    ),
}
