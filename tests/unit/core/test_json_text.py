import json

import pytest
from hypothesis import given

from core.errors import InvalidInputError
from core.json_text import MAX_DEPTH, JsonValue, equal, parse, render, render_for_postgres
from tests.support.json_values import VALUES, same


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("null", None),
        ("true", True),
        ("false", False),
        ("0", 0),
        ("-0", 0),
        ("30", 30),
        ("9223372036854775808", 2**63),
        ("123456789012345678901234567890", 123456789012345678901234567890),
        ("1.5", 1.5),
        ("100.0", 100.0),
        ("1e2", 100.0),
        ("1E+2", 100.0),
        ("1.10", 1.1),
        ("0e5", 0.0),
        ("5e-324", 5e-324),
        ("1e308", 1e308),
        ('""', ""),
        ('"\\ud83d\\ude00"', "😀"),
        ('"é\\u0001\\n"', "é\x01\n"),
        ("[]", []),
        ("{}", {}),
        (' [1 , {"a" : [2.0]}]\n', [1, {"a": [2.0]}]),
    ],
)
def test_it_keeps_value_and_type(text: str, value: JsonValue) -> None:
    assert same(parse(text), value)
    assert same(parse(text.encode()), value)


NESTED_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
LOSSY = "cannot be held by a double without loss"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is not valid: Expecting value at line 1, column 1"),
        ("{", "line 1, column 2"),
        ("[1,\n 2", "line 2, column 3"),
        ("[1] 2", "Extra data at line 1, column 5"),
        ("'a'", "line 1, column 1"),
        ("01", "line 1, column 2"),
        ("+1", "line 1, column 1"),
        (".5", "line 1, column 1"),
        ("1.", "line 1, column 2"),
        ("0x10", "line 1, column 2"),
        ("True", "line 1, column 1"),
        ('"a\nb"', "line 1, column 3"),
        ('"\\x41"', "line 1, column 2"),
        ("\ufeff1", "BOM"),
        ("[1,]", "line 1, column"),
        (b'"\xff"', "it is not UTF-8: byte 1"),
        (b'["a", "\xc3\x28"]', "it is not UTF-8: byte 7"),
        ("NaN", "it: JSON has no NaN, which stands at $"),
        ('{"a": [1, -Infinity]}', "it: JSON has no -Infinity, which stands at $.a[1]"),
        ("[Infinity]", "it: JSON has no Infinity, which stands at $[0]"),
        ("1e400", f"it: 1e400 at $ {LOSSY}"),
        ('{"a": {"b": -1e309}}', f"it: -1e309 at $.a.b {LOSSY}"),
        ("1e-400", f"it: 1e-400 at $ {LOSSY}"),
        ("1e-99999999999999999999", f"it: 1e-99999999999999999999 at $ {LOSSY}"),
        ("0e99999999999999999999", f"it: 0e99999999999999999999 at $ {LOSSY}"),
        ("[0, 0.12345678901234567891]", f"it: 0.12345678901234567891 at $[1] {LOSSY}"),
        ("9007199254740993.0", f"it: 9007199254740993.0 at $ {LOSSY}"),
        ("1." + "0" * 4_000, f"1.00000000000000000000000000000000000... at $ {LOSSY}"),
        ("9" * 4_001, "it: 9999999999999999999999999999999999999... at $ has more than 4000"),
        ('"a\\u0000b"', "it: $ has a NUL character"),
        ('{"k": ["\\u0000"]}', "it: $.k[0] has a NUL character"),
        ('{"a\\u0000": 1}', "it: a key of $ has a NUL character"),
        ('"\\ud800"', "it: $ has half of a surrogate pair"),
        ('["\\udc00\\ud800"]', "it: $[0] has half of a surrogate pair"),
        ('[{"\\udfff": 1}]', "it: a key of $[0] has half of a surrogate pair"),
        ('{"a": 1, "a": 1}', "it: the key 'a' stands twice in $"),
        ('{"x": [{"a": 1, "\\u0061": 2}]}', "it: the key 'a' stands twice in $.x[0]"),
        ("[" * 65 + "]" * 65, NESTED_TOO_DEEP),
        ("[" * 65 + "1" + "]" * 65, NESTED_TOO_DEEP),
        ('{"a":' * 65 + "1" + "}" * 65, NESTED_TOO_DEEP),
        ("[" * 200_000, NESTED_TOO_DEEP),
    ],
)
def test_it_refuses_with_the_place(text: str | bytes, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parse(text, what="it")
    assert words in caught.value.message
    assert caught.value.message.startswith("it")


@pytest.mark.parametrize("leaf", ["", "1", '"text"'])
def test_as_deep_as_it_may_be(leaf: str) -> None:
    text = "[" * MAX_DEPTH + leaf + "]" * MAX_DEPTH
    assert render(parse(text)) == text


@pytest.mark.parametrize("sign", ["", "-"])
def test_as_long_as_an_integer_may_be(sign: str) -> None:
    text = sign + "9" * 4_000
    assert render(parse(text)) == text


@given(VALUES)
def test_what_is_rendered_is_read_again(value: JsonValue) -> None:
    assert same(parse(render(value)), value)
    assert same(parse(render(value, indent=2)), value)


@given(VALUES)
def test_what_postgres_gets_is_the_same_value(value: JsonValue) -> None:
    text = render_for_postgres(value)
    assert same(json.loads(text), value)


@pytest.mark.parametrize("value", [1e16, -1e16, 1.5e300, 1e308, 123456789012345680.0])
def test_postgres_gets_large_floats_with_a_point(value: float) -> None:
    assert render_for_postgres(value).endswith(".0")
    assert "e" not in render_for_postgres([value, {"a": value}])


def test_render_is_compact_and_readable() -> None:
    assert render({"é": [1, 2.0, None]}) == '{"é":[1,2.0,null]}'
    assert render({"a": 1}, indent=2) == '{\n  "a": 1\n}'
    with pytest.raises(ValueError, match="JSON compliant"):
        render(float("nan"))


@pytest.mark.parametrize(
    ("a", "b"),
    [(True, 1), (False, 0), (1, 1.0), (0, None), ("1", 1), ([1], [1.0]), ({"a": 1}, {"a": True})],
)
def test_different_json_is_not_equal(a: JsonValue, b: JsonValue) -> None:
    assert not equal(a, b)


@given(VALUES, VALUES)
def test_equal_agrees_with_types(a: JsonValue, b: JsonValue) -> None:
    assert equal(a, a)
    assert not equal(a, b) or same(a, b)


def test_the_order_of_keys_does_not_count() -> None:
    assert equal({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert not equal([1, 2], [2, 1])
