"""Options that several commands share, declared once, and the texts people type into them."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated, TypeVar

import typer

from core.errors import InvalidInputError
from flagctl import completion

Env = Annotated[
    str | None,
    typer.Option(
        "--env",
        "-e",
        metavar="ENV",
        help="The environment (default: FLAGCTL_ENV).",
        autocompletion=completion.environments,
    ),
]
OnlyEnv = Annotated[
    str | None,
    typer.Option(
        "--env",
        "-e",
        metavar="ENV",
        help="Only in this environment.",
        autocompletion=completion.environments,
    ),
]
FlagKey = Annotated[
    str, typer.Argument(metavar="KEY", help="The flag's key.", autocompletion=completion.flag_keys)
]
Function = TypeVar("Function", bound=Callable[..., None])


def writing(function: Function) -> Function:
    """Mark a command that writes: it gets `--reason`, `--dry-run`, `--wait` and others."""
    function.writes = True  # type: ignore[attr-defined]
    return function


_DURATION = re.compile(r"(\d{1,6})([smhdw])", re.ASCII)
_FIRST_YEAR, _LAST_YEAR = 1970, 9999  # what Postgres is asked to hold
_CENTURY = timedelta(days=36_525)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def parse_duration(text: str) -> timedelta:
    """`90s`, `30m`, `8h`, `7d`, `2w`, a century at most. Raises InvalidInputError."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise InvalidInputError(f"{text!r} is no duration", hint="as in 90s, 30m, 8h, 7d or 2w")
    duration = timedelta(**{_UNITS[match[2]]: int(match[1])})
    if duration > _CENTURY:
        raise InvalidInputError(f"{text} is longer than a hundred years")
    return duration


def parse_time(text: str, *, now: datetime, future: bool) -> datetime:
    """A date or time in ISO 8601 (UTC unless it says otherwise), or a duration from now.

    `future` says in which direction a duration counts. Raises InvalidInputError.
    """
    try:
        if _DURATION.fullmatch(text):
            return now + parse_duration(text) if future else now - parse_duration(text)
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise InvalidInputError(
            f"{text!r} is no date", hint="as in 2027-01-31, 2027-01-31T12:00:00Z or 30d"
        ) from None
    if not _FIRST_YEAR <= moment.year < _LAST_YEAR:
        raise InvalidInputError(f"{text} is not within {_FIRST_YEAR} to {_LAST_YEAR}")
    return moment
