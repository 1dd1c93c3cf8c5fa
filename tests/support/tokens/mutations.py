"""Strategies that alter good tokens: their characters, their JSON, their numbers and structure."""

import json
from typing import TypeAlias

from hypothesis import strategies as st

from tests.support.tokens.maker import HOUR, LEEWAY, START, Maker, b64

# A document as its members' texts: keys may stand twice, values may be no JSON.
Members: TypeAlias = list[tuple[str, str]]

_CHARACTERS = st.sampled_from([*"AQgw0_-=.+/ \n\r\t\0", "Ａ", "é", "\ud800"])
_PIECES = st.one_of(
    st.binary(max_size=2),
    st.sampled_from(
        [
            *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b".", b"e", b"E9", b"-", b"0", b"9"),
            *(rb"\u0061", rb"\u0000", rb"\ud83d", rb"\ude00", rb"\u00", b"\0", b"\n", b" ", b"\f"),
            *(b"null", b"true", b"NaN", b"1e5", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\xc3\xa9"),
        ]
    ),
)
_DIGITS = st.text("0123456789", min_size=1, max_size=25)
_NUMBERS = st.one_of(
    st.builds(
        "".join,
        st.tuples(
            st.sampled_from(["", "-", "", "+"]),
            _DIGITS,
            st.one_of(st.just(""), _DIGITS.map(lambda digits: f".{digits}")),
            st.one_of(
                st.just(""),
                st.builds(
                    "".join,
                    st.tuples(
                        st.sampled_from("eE"),
                        st.sampled_from(["", "+", "-"]),
                        st.integers(0, 20_000).map(str),
                    ),
                ),
            ),
        ),
    ),
    st.floats().map(json.dumps),
    st.integers().map(str),
    # Halfway between two doubles, and beside it.
    st.integers(2**53, 2**60).map(lambda number: f"{number}.0"),
    st.tuples(st.integers(1, 999), st.integers(-330, 310)).map(lambda n: f"{n[0]}e{n[1]}"),
)
_EDGES = st.sampled_from([0, -LEEWAY, LEEWAY, HOUR, 24 * HOUR, -24 * HOUR])
_TIMES = st.one_of(
    st.tuples(_EDGES, st.sampled_from(["", ".0", ".5", ".0000001", ".9999999", "e0", "0e-1"])).map(
        lambda time: f"{START + time[0]}{time[1]}"
    ),
    st.tuples(_EDGES, st.floats(-2, 2)).map(lambda time: repr(START + time[0] + time[1])),
)
_TEXTS = st.one_of(
    st.text(max_size=6).map(json.dumps),
    st.text(max_size=6).map(lambda text: json.dumps(text, ensure_ascii=False)),
    st.text('ab\\u0d8"e/', max_size=8).map(lambda text: f'"{text}"'),
)
_KEYS = st.one_of(
    st.sampled_from(
        [
            *('"iss"', '"aud"', '"sub"', '"exp"', '"iat"', '"nbf"', '"jti"', '"x"', '"y"', '"x"'),
            *('"alg"', '"kid"', '"crit"', '"b64"', '"typ"', r'"\u0073ub"', r'"\u0078"', '"Exp"'),
        ]
    ),
    _TEXTS,
)
_VALUES = st.recursive(
    st.one_of(_NUMBERS, _TIMES, _TEXTS, st.sampled_from(["null", "true", "false", "", "[]", "{}"])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{','.join(items)}]"),
        st.lists(st.tuples(_KEYS, inner), max_size=3).map(lambda members: text_of(members)),
        st.tuples(inner, st.integers(1, 70)).map(lambda v: "[" * v[1] + v[0] + "]" * v[1]),
    ),
    max_leaves=4,
)


def text_of(members: Members) -> str:
    return "{" + ",".join(f"{key}:{value}" for key, value in members) + "}"


def members_of(document: dict[str, object]) -> Members:
    return [(json.dumps(key), json.dumps(value)) for key, value in document.items()]


def mutated_tokens(maker: Maker) -> st.SearchStrategy[str]:
    """Tokens that differ from good ones; many of them are still good."""
    claims, header = members_of(maker.claims), members_of(maker.header)
    return st.one_of(
        _edited_tokens(maker),
        # In a claim that nobody reads a value is judged alone …
        _VALUES.map(lambda value: maker.signed(_encoded(text_of([*claims, ('"x"', value)])))),
        _NUMBERS.map(lambda number: maker.signed(_encoded(text_of([*claims, ('"x"', number)])))),
        # … and a time by its edges.
        st.tuples(st.integers(4, 5), _TIMES).map(
            lambda time: maker.signed(text_of(_replaced(claims, *time)))
        ),
        st.tuples(_edited_members(claims), _edited_members(header) | st.just(header)).map(
            lambda parts: maker.signed(*(_encoded(text_of(part)) for part in parts))
        ),
        _edited_members(claims).map(lambda members: maker.signed(_encoded(text_of(members)))),
        _edited_bytes(text_of(claims).encode()).map(maker.signed),
        _edited_bytes(text_of(header).encode()).map(lambda text: maker.signed(None, text)),
        _edited_bytes(maker.good.split(".")[2].encode()).map(
            lambda signature: maker.with_part(2, b64(signature))
        ),
    )


def _replaced(members: Members, place: int, value: str) -> Members:
    return [(k, value if n == place else v) for n, (k, v) in enumerate(members)]


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


@st.composite
def _edited_tokens(draw: st.DrawFn, maker: Maker) -> str:
    token = maker.good
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(token)))
        taken = draw(st.integers(0, 2))
        token = token[:place] + draw(st.one_of(st.just(""), _CHARACTERS)) + token[place + taken :]
    return token


@st.composite
def _edited_bytes(draw: st.DrawFn, text: bytes) -> bytes:
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(text)))
        taken = draw(st.integers(0, 2))
        text = text[:place] + draw(st.one_of(st.just(b""), _PIECES)) + text[place + taken :]
    return text


@st.composite
def _edited_members(draw: st.DrawFn, members: Members) -> Members:
    members = list(members)
    for _ in range(draw(st.integers(1, 3))):
        place = draw(st.integers(0, len(members)))
        if place < len(members) and draw(st.booleans()):
            key = members[place][0]
            strategy = _TIMES if key in {'"exp"', '"iat"'} and draw(st.booleans()) else _VALUES
            members[place] = (key, draw(strategy))
        elif place < len(members) and draw(st.integers(0, 5)) == 0:
            del members[place]
        else:
            members.insert(place, (draw(_KEYS), draw(_VALUES)))
    return members
