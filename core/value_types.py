"""The types a flag or config value may have, and whether a value is of one."""

from enum import StrEnum
from math import isfinite

from core.errors import InvalidInputError
from core.json_text import JsonValue, render


class ValueType(StrEnum):
    BOOLEAN = "boolean"
    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    OBJECT = "object"
    ARRAY = "array"


FLAG_TYPES = tuple(t for t in ValueType if t is not ValueType.ARRAY)
CONFIG_TYPES = tuple(ValueType)


def type_of(value: JsonValue) -> str:
    """The JSON type of a value, in our words; "null" for None."""
    match value:
        case None:
            return "null"
        case bool():
            return ValueType.BOOLEAN
        case str():
            return ValueType.STRING
        case int():
            return ValueType.INTEGER
        case float():
            return ValueType.NUMBER
        case dict():
            return ValueType.OBJECT
        case list():
            return ValueType.ARRAY


def check_value(value: JsonValue, wanted: ValueType, *, what: str) -> None:
    """Refuse a value that is not of the type. An integer is a number; `true` is neither."""
    found = type_of(value)
    if found == wanted or (wanted is ValueType.NUMBER and found is ValueType.INTEGER):
        if isinstance(value, float) and not isfinite(value):
            raise InvalidInputError(f"{what}: JSON has no {value}")
        return
    shown = render(value)
    shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
    raise InvalidInputError(
        f"{what} is {_article(wanted)} {wanted}, and {shown} is {_article(found)} {found}",
        hint=_HINTS[wanted],
    )


def parse_type(text: str, allowed: tuple[ValueType, ...]) -> ValueType:
    if text in allowed:
        return ValueType(text)
    raise InvalidInputError(f"{text!r} is no type", hint=f"types are {', '.join(allowed)}")


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


_HINTS = {
    ValueType.BOOLEAN: "write true or false",
    ValueType.STRING: "JSON text needs double quotes: '\"like this\"'",
    ValueType.INTEGER: "write whole digits, without quotes or a decimal point: 30",
    ValueType.NUMBER: "write digits without quotes: 1.5",
    ValueType.OBJECT: "write a JSON object: '{\"key\": 1}'",
    ValueType.ARRAY: "write a JSON array: '[1, 2]'",
}
