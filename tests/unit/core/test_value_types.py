import pytest

from core.errors import InvalidInputError
from core.json_text import JsonValue
from core.value_types import CONFIG_TYPES, FLAG_TYPES, ValueType, check_value, parse_type, type_of

EXAMPLES: list[tuple[JsonValue, str]] = [
    (None, "null"),
    (True, "boolean"),
    ("x", "string"),
    (1, "integer"),
    (10**400, "integer"),
    (1.0, "number"),
    ({}, "object"),
    ([], "array"),
]


@pytest.mark.parametrize(("value", "name"), EXAMPLES)
def test_the_type_of_a_value(value: JsonValue, name: str) -> None:
    assert type_of(value) == name


@pytest.mark.parametrize("wanted", list(ValueType))
@pytest.mark.parametrize(("value", "name"), EXAMPLES)
def test_a_value_fits_its_type_alone(value: JsonValue, name: str, wanted: ValueType) -> None:
    if name == wanted or (name, wanted) == ("integer", "number"):
        check_value(value, wanted, what="it")
    else:
        with pytest.raises(InvalidInputError, match=f"it is an? {wanted}, and .* is an? {name}"):
            check_value(value, wanted, what="it")


def test_the_message_shows_value_types_and_what_to_write() -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_value("30", ValueType.INTEGER, what="the value of max_items")
    assert caught.value.message == 'the value of max_items is an integer, and "30" is a string'
    assert "without quotes" in caught.value.hint


def test_a_long_value_is_shown_in_part() -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_value("x" * 500, ValueType.BOOLEAN, what="it")
    assert len(caught.value.message) < 150


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_no_number_without_end(value: float) -> None:
    with pytest.raises(InvalidInputError, match="JSON has no"):
        check_value(value, ValueType.NUMBER, what="it")


def test_the_names_of_types() -> None:
    assert parse_type("integer", FLAG_TYPES) is ValueType.INTEGER
    assert parse_type("array", CONFIG_TYPES) is ValueType.ARRAY
    with pytest.raises(InvalidInputError) as caught:
        parse_type("array", FLAG_TYPES)
    assert caught.value.hint == "types are boolean, string, integer, number, object"
