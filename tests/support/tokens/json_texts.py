"""JSON at its edges, in a claim that nobody reads: what cannot be kept unharmed is refused."""

import json

from tests.support.tokens.case import Case, Table, accepted, refused
from tests.support.tokens.maker import Maker

UNREADABLE = "the token cannot be read"


def _good(text: str) -> Case:
    return accepted(lambda m: m.with_claim_text("x", text))


def _bad(text: str, words: str = UNREADABLE) -> Case:
    return refused(lambda m: m.with_claim_text("x", text), words)


def _bad_bytes(inside: bytes) -> Case:
    """Bytes in a text, which may be no UTF-8."""
    return refused(lambda m: m.signed(_claims(m, b'"' + inside + b'"')), UNREADABLE)


def _claims(maker: Maker, text: bytes = b"1") -> bytes:
    return json.dumps(maker.claims).encode()[:-1] + b', "x": ' + text + b"}"


def _nested(levels: int, opening: str, closing: str) -> str:
    """The claims themselves are one level more."""
    return opening * levels + "1" + closing * levels


NUMBERS: Table = {
    **{
        f"number {text[:30]} ({len(text)})": _good(text)
        for text in (
            *(
                "0",
                "-0",
                "0.0",
                "-0.0",
                "0e0",
                "0E+5",
                "0e-5",
                "1e0",
                "1.50",
                "1e22",
                "1e23",
                "18014398509481990.0",
                "27685534102077890.0",
                "-1.801439850948199e16",
            ),
            *("0.1", "1E-7", "123456789012345678901234567890", "9007199254740993", "5e-324"),
            *(
                "1.7976931348623157e308",
                "2.2250738585072014e-308",
                "0e400",
                "0e-400",
                "0e9999",
                "0e-9999",
            ),
            *("9" * 4_000, "-" + "9" * 4_000, "1." + "0" * 3_998, "0." + "0" * 3_998),
            "1" + "0" * 300 + ".0",
            "1" + "0" * 3_900 + "e-3900",
        )
    },
    **{
        f"number {text[:30]} ({len(text)}), refused": _bad(text)
        for text in (
            *("NaN", "Infinity", "-Infinity", "nan", "inf", "1e400", "-1e400", "1e309", "1e-400"),
            *("1.7976931348623159e308", "2e-324", "1e-324", "0.1000000000000000055511151231257827"),
            *(
                "9007199254740993.0",
                "27685534102077888.0",
                "9.999999999999999e22",
                "1.0000000000000000001",
                "123456789012345678.5",
                "0.30000000000000001",
            ),
            *(
                "1e99999999",
                "1e-99999999",
                "1e2147483648",
                "1e-2147483648",
                "1e99999999999999999999",
            ),
            *("9" * 4_001, "-" + "9" * 4_001, "1." + "0" * 3_999, "0" * 2, "01", "-01", "+1"),
            *(
                "1.",
                ".5",
                "-",
                "1e",
                "1e+",
                "0x10",
                "1_000",
                "1,5",
                "--1",
                "١",
                "1e1.5",
                "0e",
                "1 2",
            ),
            *(
                "0e10000",
                "0e-10000",
                "0e-20000",
                "0e00000",
                "1e00001",
                "0e-99999999",
                "0e99999999999",
                "0e-99999999999",
                "0.0e-16384",
            ),
        )
    },
}

TEXTS: Table = {
    "every short escape": _good(r'"\"\\\/\b\f\n\r\t"'),
    "an escape in capitals": _good(r'"\u00E9"'),
    "a surrogate pair": _good(r'"\ud83d\ude00"'),
    "DEL and C1": _good('"\x7f\x80\x9f"'),
    "line separators": _good('"\u2028\u2029"'),
    "noncharacters": _good('"\ufffe\uffff\U0010ffff"'),
    "a byte order mark in a text": _good('"\ufeff"'),
    "an escaped byte order mark": _good(r'"\ufeff"'),
    "NUL": _bad(r'"\u0000"'),
    "NUL inside": _bad(r'"a\u0000b"'),
    "NUL in a key": _bad(r'{"a\u0000": 1}'),
    "backslash and u0000": _good(r'"\\u0000"'),
    "raw NUL": _bad('"\0"'),
    "raw control": _bad('"\x1f"'),
    "raw tab": _bad('"\t"'),
    "raw new line": _bad('"\n"'),
    "a high surrogate": _bad(r'"\ud83d"'),
    "a low surrogate": _bad(r'"\ude00"'),
    "surrogates the other way round": _bad(r'"\ude00\ud83d"'),
    "two high surrogates": _bad(r'"\ud83d\ud83d"'),
    "a surrogate and a text": _bad(r'"\ud83dx"'),
    "a surrogate and another escape": _bad(r'"\ud83d\n"'),
    "a surrogate and a plain escape": _bad(r'"\ud83d\u0041"'),
    "a surrogate in a key": _bad(r'{"\ud83d": 1}'),
    "an unknown escape": _bad(r'"\x41"'),
    "an escape of three": _bad(r'"\u041"'),
    "an escape of no number": _bad(r'"\u00g1"'),
    "an escape with a sign": _bad(r'"\u+041"'),
    "an escape with a space": _bad(r'"\u 041"'),
    "an escape in braces": _bad(r'"\u{41}"'),
    "an escaped apostrophe": _bad(r'"\'"'),
    "a text without end": _bad('"a'),
    "apostrophes": _bad("'a'"),
    "not UTF-8": _bad_bytes(b"\xff"),
    "half a character": _bad_bytes(b"\xc3"),
    "an overlong character": _bad_bytes(b"\xc0\xaf"),
    "an overlong NUL": _bad_bytes(b"\xc0\x80"),
    "a surrogate in UTF-8": _bad_bytes(b"\xed\xa0\x80"),
    "a pair of surrogates in UTF-8": _bad_bytes(b"\xed\xa0\xbd\xed\xb8\x80"),
    "after the last code point": _bad_bytes(b"\xf4\x90\x80\x80"),
    "five bytes": _bad_bytes(b"\xf8\x88\x80\x80\x80"),
}

STRUCTURE: Table = {
    "63 lists": _good(_nested(63, "[", "]")),
    "64 lists": _bad(_nested(64, "[", "]")),
    "65 lists": _bad(_nested(65, "[", "]")),
    "63 objects": _good(_nested(63, '{"a":', "}")),
    "64 objects": _bad(_nested(64, '{"a":', "}")),
    "62 empty lists in one": _good("[" * 63 + "]" * 63),
    "64 empty lists": _bad("[" * 64 + "]" * 64),
    "5,000 lists": _bad(_nested(5_000, "[", "]")),
    "1,500 objects": _bad(_nested(1_500, '{"a":', "}")),
    "5,000 open brackets": _bad("[" * 5_000),
    "2,000 numbers": _good("[" + ",".join("1" * 2_000) + "]"),
    "1,000 keys": _good("{" + ",".join(f'"{n}":0' for n in range(1_000)) + "}"),
    "an empty key": _good('{"": 1}'),
    "empty keys": _bad('{"": 1, "": 2}'),
    "keys that differ in case": _good('{"a": 1, "A": 2}'),
    "keys that differ in form": _good('{"\u00e9": 1, "e\u0301": 2}'),
    "keys that differ in a space": _good('{"a": 1, "a ": 2}'),
    "keys that look alike": _good('{"a": 1, "\u0430": 2, "\uff41": 3}'),
    "keys and weightless characters": _good('{"a": 1, "a\u200b": 2, "a\u00ad": 3}'),
    "a key twice": _bad('{"a": 1, "a": 1}'),
    "a key twice, deep inside": _bad('[[{"b": [{"a": 1, "c": 2, "a": 1}]}]]'),
    "a key twice, in escapes": _bad(r'{"a": 1, "\u0061": 2}'),
    "a key twice, in a pair": _bad(r'{"😀": 1, "\ud83d\ude00": 2}'),
    "a comma behind": _bad("[1,]"),
    "a comma behind in an object": _bad('{"a": 1,}'),
    "a comma in front": _bad("[,1]"),
    "no comma": _bad("[1 2]"),
    "no colon": _bad('{"a" 1}'),
    "no value": _bad(""),
    "a key without quotes": _bad("{a: 1}"),
    "a number as key": _bad("{1: 1}"),
    "a comment": _bad("1 /* x */"),
    "True": _bad("True"),
    "undefined": _bad("undefined"),
    "other white space": _bad("\u00a01"),
    "a vertical tab": _bad("\v1"),
    "white space": _good(" \t\r\n1\n"),
    "a second document": refused(lambda m: m.signed(_claims(m) + b"{}"), UNREADABLE),
    "a zero byte behind": refused(lambda m: m.signed(_claims(m) + b"\0"), UNREADABLE),
    "a byte order mark": refused(lambda m: m.signed(b"\xef\xbb\xbf" + _claims(m)), UNREADABLE),
    "in UTF-16": refused(
        lambda m: m.signed(_claims(m).decode().encode("utf-16")),
        UNREADABLE,
    ),
    "in UTF-16 without a mark": refused(
        lambda m: m.signed(_claims(m).decode().encode("utf-16-le")),
        UNREADABLE,
    ),
}

JSON_TEXTS: Table = NUMBERS | TEXTS | STRUCTURE
