"""Claims: each one missing, of another type, and at its edges."""

from typing import Any

from tests.support.tokens.case import Case, Table, accepted, refused
from tests.support.tokens.maker import AUDIENCE, HOUR, ISSUER, LEEWAY, MAX_LIFETIME, START, SUBJECT

NO_TEXT = "is not a text"
NO_NUMBER = "is not a number"
RANGE = "out of range"
EXPIRED = "expired at"
EARLY = "not valid before"
LONG = "lives longer than its issuer may give"
AUDIENCES = "for another audience"
NAMELESS = "does not say who signed it"
END_OF_TIME = 253_402_300_799
LIFETIME = int(MAX_LIFETIME.total_seconds())


def _good(**claims: Any) -> Case:
    return accepted(lambda m: m.with_claims(**claims))


def _bad(words: str = "", **claims: Any) -> Case:
    return refused(lambda m: m.with_claims(**claims), words)


def _text(name: str, text: str, words: str = "") -> Case:
    return refused(lambda m: m.with_claim_text(name, text), words)


def _good_text(name: str, text: str) -> Case:
    return accepted(lambda m: m.with_claim_text(name, text))


_OF_OTHER_TYPES: dict[str, object] = {
    "true": True,
    "false": False,
    "text": "1",
    "list": [1],
    "object": {"a": 1},
}


def _without(claim: str) -> Case:
    return refused(lambda m: m.without(claim))


def _as(claim: str, value: object, words: str = "") -> Case:
    return refused(lambda m: m.with_claims(**{claim: value}), words)


TYPES: Table = {
    **{f"no {claim}": _without(claim) for claim in ("iss", "aud", "sub", "iat", "exp")},
    **{
        f"{claim} null": _as(claim, None)
        for claim in ("iss", "aud", "sub", "iat", "exp", "jti", "nbf")
    },
    **{
        f"{claim} {name}": _as(claim, value, NO_NUMBER)
        for claim in ("iat", "exp", "nbf")
        for name, value in _OF_OTHER_TYPES.items()
    },
    **{
        f"{claim} {name}": _as(claim, value)
        for claim in ("iss", "aud", "sub", "jti")
        for name, value in (_OF_OTHER_TYPES | {"number": 7, "zero": 0, "empty list": []}).items()
        if (claim, name) not in {("sub", "text"), ("jti", "text")}
    },
    "no jti": accepted(lambda m: m.without("jti")),
    "jti empty": _good(jti=""),
    "nothing else": _good(x=[1, {"y": None}], email="a@b.c", scope="", azp=False),
}

NAMES: Table = {
    "issuer of others": _bad("names another key", iss="https://login.example.org"),
    "issuer in other case": _bad("names another key", iss=ISSUER.upper()),
    "issuer with a slash behind": _bad("names another key", iss=f"{ISSUER}/"),
    "issuer with a space behind": _bad("names another key", iss=f"{ISSUER} "),
    "issuer empty": _bad("names another key", iss=""),
    "issuer in a list": _bad(NAMELESS, iss=[ISSUER]),
    "issuer twice": refused(
        lambda m: m.with_claim_text("x", f'1,"iss":"{ISSUER}"'), "stands twice"
    ),
    "audience of others": _bad(AUDIENCES, aud="other"),
    "audience in other case": _bad(AUDIENCES, aud="Flagctl"),
    "audience in a list": _bad(AUDIENCES, aud=[AUDIENCE]),
    "audience among others": _bad(AUDIENCES, aud=[AUDIENCE, "other"]),
    "audience as a key": _bad(AUDIENCES, aud={AUDIENCE: 1}),
    "audience empty": _bad("has no `aud`", aud=""),
    "audience in escapes": _good_text("aud", r'"fl\u0061gctl"'),
    "sub empty": _bad(NO_TEXT, sub=""),
    "sub of 1": _good(sub="a"),
    "sub of a space": _good(sub=" "),
    "sub of 255": _good(sub="a" * 255),
    "sub of 256": _bad(NO_TEXT, sub="a" * 256),
    "sub of 255 outside the basic plane": _good(sub="😀" * 255),
    "sub of 256 outside the basic plane": _bad(NO_TEXT, sub="😀" * 256),
    "sub of 255 in escapes": _good_text("sub", '"' + r"\ud83d\ude00" * 255 + '"'),
    "sub of 256 in escapes": _text("sub", '"' + r"\ud83d\ude00" * 256 + '"', NO_TEXT),
    "sub of combining characters": _good(sub="e\u0301" * 127),
    "sub not normalized": _good(sub="\u212b\u00c5"),
    "sub with a new line": _good(sub="a\nb"),
    "sub of a last code point": _good(sub="\U0010ffff\uffff"),
    "sub twice": refused(lambda m: m.with_claim_text("x", '1,"sub":"root"'), "stands twice"),
    "sub twice, the same": refused(
        lambda m: m.with_claim_text("x", f'1,"sub":"{SUBJECT}"'), "stands twice"
    ),
    "sub twice, in escapes": refused(
        lambda m: m.with_claim_text("x", r'1,"\u0073ub":"root"'), "stands twice"
    ),
    "Sub and sub": _good(Sub="root"),
    "exp twice": refused(lambda m: m.with_claim_text("x", '1,"exp":1'), "stands twice"),
}

TIMES: Table = {
    "expired within the leeway": _good(iat=START - HOUR, exp=START - LEEWAY + 1),
    "expired by the leeway": _bad(EXPIRED, iat=START - HOUR, exp=START - LEEWAY),
    "expired long ago": _bad("expired at 2026-06-01 11:00:00", iat=START - HOUR, exp=START - HOUR),
    "expired by a part of a microsecond less": _good(
        iat=START - HOUR, exp=START - LEEWAY + 0.0000003
    ),
    "expired by a part of a second less": _good(iat=START - HOUR, exp=START - LEEWAY + 0.5),
    "exp zero": _bad("expired at 1970-01-01", exp=0),
    "exp minus zero": _text("exp", "-0", EXPIRED),
    "exp minus zero point zero": _text("exp", "-0.0", EXPIRED),
    "exp negative": _bad(RANGE, exp=-1),
    "exp a little negative": _text("exp", "-1e-300", RANGE),
    "exp before iat": _good(iat=START + 10, exp=START + 5),
    "exp with an exponent": _good_text("exp", f"{(START + HOUR) / 10}e1"),
    "exp with point zero": _good_text("exp", f"{START + HOUR}.0"),
    "exp in capitals": _good_text("exp", f"{START + HOUR}.000E+00"),
    "exp in 9999": _bad(LONG, exp=END_OF_TIME),
    "exp after 9999": _bad(RANGE, exp=END_OF_TIME + 1),
    "exp half a second after 9999": _bad(RANGE, exp=END_OF_TIME + 0.5),
    "exp 10^300": _bad(RANGE, exp=10**300),
    "exp 10^3999": _bad(RANGE, exp=10**3_999),
    "exp 1e308": _bad(RANGE, exp=1e308),
    "exp 2^31": _bad(LONG, exp=2**31),
    "exp 2^63": _bad(RANGE, exp=2**63),
    "exp 2^64": _bad(RANGE, exp=2**64),
    "exp NaN": _bad("the token cannot be read", exp=float("nan")),
    "exp Infinity": _bad("the token cannot be read", exp=float("inf")),
    "exp as text": _bad(NO_NUMBER, exp=str(START + HOUR)),
    "iat at the leeway": _good(iat=START + LEEWAY),
    "iat after the leeway": _bad(EARLY, iat=START + LEEWAY + 1),
    "iat a part of a microsecond after the leeway": _bad(EARLY, iat=START + LEEWAY + 0.0000003),
    "iat with a fraction": _good(iat=START + 0.5),
    "iat in milliseconds": _bad(RANGE, iat=START * 1_000),
    "iat long ago": _bad(RANGE, iat=-(10**20)),
    "iat zero": _bad(LONG, iat=0),
    "iat in an hour": _bad("not valid before 2026-06-01 13:00:00", iat=START + HOUR),
    "nbf at the leeway": _good(nbf=START + LEEWAY),
    "nbf after the leeway": _bad(EARLY, nbf=START + LEEWAY + 1),
    "nbf a part of a microsecond after the leeway": _bad(EARLY, nbf=START + LEEWAY + 0.0000003),
    "nbf zero": _good(nbf=0),
    "nbf negative": _bad(RANGE, nbf=-1),
    "nbf after 9999": _bad(RANGE, nbf=END_OF_TIME + 1),
    "nbf after exp": _bad(EARLY, nbf=START + 2 * HOUR),
    "nbf before iat": _good(nbf=START - HOUR),
    "lives as long as it may": _good(exp=START + LIFETIME),
    "lives a second longer": _bad(LONG, exp=START + LIFETIME + 1),
    "lives a part of a microsecond longer": _bad(LONG, exp=START + LIFETIME + 0.0000003),
    "lives a second longer, from earlier on": _bad(LONG, iat=START - 1, exp=START + LIFETIME),
}

CLAIMS: Table = TYPES | NAMES | TIMES
