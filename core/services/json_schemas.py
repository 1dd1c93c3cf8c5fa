"""JSON Schema for config values: checks the schema itself, then values against it."""

from typing import Any

from core.errors import InvalidInputError
from core.json_text import JsonValue
from core.time_limits import time_limit

_PATIENCE_SECONDS = 3.0  # the organization's lock is held meanwhile


def check_schema(schema: JsonValue) -> None:
    """Refuse what is no JSON Schema (2020-12, or the draft that `$schema` names)."""
    import jsonschema  # deferred: only configs with a schema need it

    if not isinstance(schema, dict | bool):
        raise InvalidInputError("a JSON Schema is an object")
    try:
        _validator_class(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        raise InvalidInputError(
            f"the schema is not a valid JSON Schema: {_at(error.json_path)}{error.message}"
        ) from None


def check_against(value: JsonValue, schema: Any, *, what: str) -> None:
    """Refuse a value that the schema refuses; the message has the place. Nothing is fetched."""
    import jsonschema
    import referencing

    validator = _validator_class(schema)(
        schema,
        registry=referencing.Registry(),
        format_checker=_validator_class(schema).FORMAT_CHECKER,
    )
    try:
        with time_limit(_PATIENCE_SECONDS, what=f"checking {what} against its schema"):
            error = jsonschema.exceptions.best_match(validator.iter_errors(value))
    except referencing.exceptions.Unresolvable as unresolved:
        raise InvalidInputError(
            f"the schema refers to {unresolved.ref!r}, which is not in it",
            hint="put definitions under $defs; nothing is fetched",
        ) from None
    except RecursionError:
        raise InvalidInputError("the schema refers to itself without end") from None
    except OverflowError:
        raise InvalidInputError(
            f"{what} or a number in its schema is too large to be divided as `multipleOf` asks"
        ) from None
    except ValueError as fault:
        raise InvalidInputError(f"the schema has an address that is none: {fault}") from None
    if error is not None:
        message = error.message if len(error.message) <= 300 else f"{error.message[:297]}..."
        raise InvalidInputError(f"{what} does not fit its schema: {_at(error.json_path)}{message}")


def _at(path: str) -> str:
    return f"at {path}: " if path != "$" else ""


def _validator_class(schema: Any) -> Any:
    import jsonschema

    try:
        return jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
    except (TypeError, AttributeError, ValueError):
        raise InvalidInputError(
            "the schema's `$schema` is no address",
            hint='"$schema": "https://json-schema.org/draft/2020-12/schema", or leave it out',
        ) from None
