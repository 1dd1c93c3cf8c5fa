import pytest

from core.errors import InvalidInputError
from core.json_text import JsonValue
from core.services.json_schemas import check_against, check_schema


@pytest.mark.parametrize(
    "schema",
    [
        {},
        True,
        {"type": "integer", "minimum": 0},
        {"$schema": "http://json-schema.org/draft-07/schema#", "type": "string"},
        {"$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a"},
    ],
)
def test_good_schemas(schema: JsonValue) -> None:
    check_schema(schema)


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ([1], "a JSON Schema is an object"),
        ("x", "a JSON Schema is an object"),
        ({"type": "nope"}, "not a valid JSON Schema: at $.type: 'nope'"),
        ({"properties": {"a": {"minimum": "1"}}}, "at $.properties.a.minimum: '1'"),
        ({"pattern": "("}, "at $.pattern: '(' is not a 'regex'"),
        ({"$schema": []}, "`$schema` is no address"),
        ({"$schema": 5}, "`$schema` is no address"),
        ({"$schema": "http://["}, "`$schema` is no address"),
    ],
)
def test_bad_schemas(schema: JsonValue, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_schema(schema)
    assert words in caught.value.message


@pytest.mark.parametrize(
    ("value", "schema"),
    [
        (5, {"minimum": 5}),
        (10**400, {"minimum": 5}),
        ({"a": ["x"]}, {"properties": {"a": {"items": {"type": "string"}}}}),
        ("x", {"$defs": {"a": {"type": "string"}}, "$ref": "#/$defs/a"}),
        (1, True),
    ],
)
def test_values_that_fit(value: JsonValue, schema: JsonValue) -> None:
    check_against(value, schema, what="it")


@pytest.mark.parametrize(
    ("value", "schema", "words"),
    [
        (4, {"minimum": 5}, "it does not fit its schema: 4 is less than the minimum of 5"),
        ({"a": [1]}, {"properties": {"a": {"items": {"type": "string"}}}}, "schema: at $.a[0]: 1"),
        ("a", {"format": "ipv4"}, "'a' is not a 'ipv4'"),
        (1, False, "does not fit its schema"),
        ("x" * 900, {"maxLength": 3}, "..."),
        (1, {"$ref": "https://example.com/schema"}, "refers to 'https://example.com/schema'"),
        (1, {"$ref": "#/$defs/none"}, "which is not in it"),
        (1, {"$ref": "#"}, "refers to itself without end"),
        (10**400, {"multipleOf": 0.5}, "too large"),
        (1.5, {"multipleOf": 10**400}, "too large"),
        (1, {"$id": "http://[", "$ref": "a"}, "has an address that is none"),
    ],
)
def test_values_that_do_not_fit(value: JsonValue, schema: JsonValue, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_against(value, schema, what="it")
    assert words in caught.value.message
    assert len(caught.value.message) < 400
