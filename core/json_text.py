"""JSON text in, an equal value out; what Postgres or a double cannot hold is refused.

Integers keep every digit, floats stay floats (`100.0` never comes back as `100`), text keeps every
character. `parse` is the only way user JSON enters flagctl.
"""

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from math import isinf
from typing import TypeAlias

from core.errors import InvalidInputError

JsonValue: TypeAlias = "bool | int | float | str | list[JsonValue] | dict[str, JsonValue] | None"

MAX_DEPTH = 64
MAX_INTEGER_DIGITS = 4_000  # Python and many clients stop a little above
_EXACT_INTEGERS_END = 1e16  # from here on repr() of a float uses an exponent
_SURROGATE = re.compile("[\ud800-\udfff]")
_FAR_EXPONENT = re.compile(
    "[eE][+-]?[0-9]{5}"
)  # only a zero has one, and Postgres has no such zero


# json.dumps makes one for each call.
_COMPACT = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


class _Pairs(list[tuple[str, object]]):
    """An object before its keys are checked."""


class _Number(str):
    """The digits of a number before they are checked."""

    __slots__ = ()


class _Constant(str):
    """NaN or Infinity, which Python reads and JSON does not have."""

    __slots__ = ()


def parse(text: str | bytes, *, what: str = "JSON") -> JsonValue:
    """Read JSON strictly. Raises InvalidInputError that names the place, as `$.a[3]`."""
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8")
        tree = json.loads(
            text,
            object_pairs_hook=_Pairs,
            parse_int=_Number,
            parse_float=_Number,
            parse_constant=_Constant,
        )
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{what} is not UTF-8: byte {error.start}") from None
    except json.JSONDecodeError as error:
        raise InvalidInputError(
            f"{what} is not valid: {error.msg} at line {error.lineno}, column {error.colno}",
            hint="text needs double quotes: '\"like this\"'",
        ) from None
    except RecursionError:
        raise InvalidInputError(f"{what} is nested deeper than {MAX_DEPTH} levels") from None
    return _build(tree, "$", 0, what)


def _build(node: object, place: str, depth: int, what: str) -> JsonValue:
    if depth >= MAX_DEPTH and isinstance(node, list):
        raise InvalidInputError(f"{what} is nested deeper than {MAX_DEPTH} levels")
    match node:
        case _Number():
            return _number(node, place, what)
        case _Constant():
            raise InvalidInputError(
                f"{what}: JSON has no {node}, which stands at {place}", hint="use a finite number"
            )
        case str():
            _check_text(node, place, what)
            return node
        case _Pairs():
            result: dict[str, JsonValue] = {}
            for key, value in node:
                _check_text(key, f"a key of {place}", what)
                if key in result:
                    raise InvalidInputError(f"{what}: the key {key!r} stands twice in {place}")
                result[key] = _build(value, f"{place}.{key}", depth + 1, what)
            return result
        case list():
            return [_build(v, f"{place}[{i}]", depth + 1, what) for i, v in enumerate(node)]
        case None | bool():
            return node
        case _:  # pragma: no cover - json.loads gives nothing else
            raise AssertionError(node)


def _number(digits: _Number, place: str, what: str) -> int | float:
    shown = digits if len(digits) <= 40 else f"{digits[:37]}..."
    if not any(c in digits for c in ".eE"):
        if len(digits.lstrip("-")) > MAX_INTEGER_DIGITS:
            raise InvalidInputError(
                f"{what}: {shown} at {place} has more than {MAX_INTEGER_DIGITS} digits"
            )
        return int(digits)
    value = float(digits)
    if isinf(value) or len(digits) > MAX_INTEGER_DIGITS or not _is_exact(digits, value):
        raise InvalidInputError(
            f"{what}: {shown} at {place} cannot be held by a double without loss",
            hint="use fewer digits, or a string",
        )
    return value


def _is_exact(digits: str, value: float) -> bool:
    return not _FAR_EXPONENT.search(digits) and Decimal(digits) == Decimal(repr(value))


def _check_text(text: str, place: str, what: str) -> None:
    if "\0" in text:
        raise InvalidInputError(f"{what}: {place} has a NUL character, which Postgres cannot hold")
    if _SURROGATE.search(text):
        raise InvalidInputError(f"{what}: {place} has half of a surrogate pair")


def render(value: JsonValue, *, indent: int | None = None) -> str:
    """The value as JSON text, compact unless `indent` is given."""
    if indent is None:
        return _COMPACT.encode(value)
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)


def render_for_postgres(value: JsonValue) -> str:
    """The value so that JSONB gives floats back as floats: it prints `1e+16` as an integer."""
    return "".join(_pieces(value))


def _pieces(value: JsonValue) -> Iterator[str]:
    match value:
        case float() if abs(value) >= _EXACT_INTEGERS_END:
            yield f"{Decimal(repr(value)):f}.0"
        case dict():
            yield "{"
            for i, (key, item) in enumerate(value.items()):
                yield f"{',' if i else ''}{json.dumps(key, ensure_ascii=False)}:"
                yield from _pieces(item)
            yield "}"
        case list():
            yield "["
            for i, item in enumerate(value):
                if i:
                    yield ","
                yield from _pieces(item)
            yield "]"
        case _:
            yield render(value)


def equal(a: JsonValue, b: JsonValue) -> bool:
    """Whether two values are the same JSON: unlike `==`, `true` is not `1` and `1` is not `1.0`."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)
