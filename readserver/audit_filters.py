"""The filters of the audit log, from a query. A filter that is not understood is refused: passing
over it would show more, or other, history than was asked for."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from core.errors import InvalidInputError
from core.names import closest

ENTITY_TYPES: Final = (
    *("feature", "config", "segment", "environment", "api_key", "organization", "member", "token"),
    *("issuer", "signing_key"),
)
DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 1_000
_TEXTS: Final = ("entity_key", "environment", "actor", "action")
_TIMES: Final = ("since", "until")
NAMES: Final = ("entity_type", *_TEXTS, *_TIMES, "limit", "cursor", "organization")
_LONGEST_TEXT: Final = 512


@dataclass(frozen=True, slots=True)
class AuditFilters:
    """`conditions` is what flagctl.audit_page takes, without the limit."""

    organization: str | None
    limit: int
    conditions: dict[str, str]


def parse(parameters: dict[str, str]) -> AuditFilters:
    """Raises InvalidInputError that names the parameter."""
    for name in parameters:
        if name not in NAMES:
            raise InvalidInputError(
                f"there is no query parameter {name[:60]!r}",
                hint=closest(name, NAMES) or f"there are {', '.join(NAMES)}",
            )
    conditions: dict[str, str] = {
        name: _text(name, parameters[name]) for name in _TEXTS if name in parameters
    }
    if (entity_type := parameters.get("entity_type")) is not None:
        conditions["entity_type"] = _entity_type(entity_type)
    for name in _TIMES:
        if name in parameters:
            conditions[name] = _time(name, parameters[name])
    if "cursor" in parameters:
        conditions["cursor"] = str(_number("cursor", parameters["cursor"], 10**18 - 1))
    limit = _number("limit", parameters.get("limit", str(DEFAULT_LIMIT)), MAX_LIMIT)
    organization = parameters.get("organization")
    if organization is not None:
        _text("organization", organization)
    return AuditFilters(organization, limit, conditions)


def _text(name: str, value: str) -> str:
    if not value or len(value) > _LONGEST_TEXT:
        raise InvalidInputError(f"{name} is a text of 1 to {_LONGEST_TEXT} characters")
    return value


def _entity_type(value: str) -> str:
    if value not in ENTITY_TYPES:
        raise InvalidInputError(
            f"there is no entity_type {value[:60]!r}",
            hint=closest(value, ENTITY_TYPES) or f"there are {', '.join(ENTITY_TYPES)}",
        )
    return value


def _time(name: str, value: str) -> str:
    """ISO 8601; a time without an offset is UTC."""
    try:
        # A "+" in a query is a blank unless it was encoded, and most people do not.
        moment = datetime.fromisoformat(value.replace(" ", "+") if "T" in value else value)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).isoformat()
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"{name} is not a date or time", hint="as in 2026-01-31 or 2026-01-31T12:00:00Z"
        ) from None


def _number(name: str, value: str, at_most: int) -> int:
    digits = value if value.isascii() and value.isdigit() and len(value) <= 18 else "0"
    if not 1 <= int(digits) <= at_most:
        what = f"a number from 1 to {at_most}" if name == "limit" else "a cursor of a page before"
        raise InvalidInputError(f"{name} is not {what}")
    return int(digits)
