"""Evaluation contexts as they are typed: `--context name=value`, files, JSON lines."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from core import json_text
from core.errors import InvalidInputError
from core.evaluation.context import TARGETING_KEY, split_path
from core.evaluation.faults import Fault


def context_of(pairs: list[str] | None, file: str | None, key: str | None) -> dict[str, Any]:
    """Later ones win: the file, then --context, then --targeting-key. Raises InvalidInputError."""
    context = _object(_read(file), what=f"the context in {file}") if file is not None else {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidInputError(f"{pair!r} is no attribute", hint="--context NAME=VALUE")
        _put(context, name, _value(value))
    if key is not None:
        context[TARGETING_KEY] = key
    return context


def lines_of(file: str) -> list[str]:
    """The lines of a file; - is stdin. Raises InvalidInputError."""
    return _read(file).splitlines()


def contexts_in(lines: list[str], file: str) -> Iterator[dict[str, Any]]:
    """Each of its lines, as JSON. Raises InvalidInputError that names the line."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _object(line, what=f"line {number} of {file}")


def _value(text: str) -> Any:
    """As JSON where it parses as JSON, else text."""
    try:
        return json_text.parse(text)
    except InvalidInputError:
        return text


def _put(context: dict[str, Any], name: str, value: Any) -> None:
    """Dots reach into objects, as they do in conditions."""
    try:
        *parents, last = split_path(name)
    except Fault as fault:
        raise InvalidInputError(str(fault)) from None
    for parent in parents:
        inner = context.setdefault(parent, {})
        if not isinstance(inner, dict):
            raise InvalidInputError(f"{name!r}: {parent} is no object")
        context = inner
    context[last] = value


def _object(text: str, *, what: str) -> dict[str, Any]:
    found = json_text.parse(text, what=what)
    if not isinstance(found, dict):
        raise InvalidInputError(f"{what} is no JSON object")
    return found


def _read(file: str) -> str:
    try:
        if file == "-":
            return sys.stdin.buffer.read().decode()
        return Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InvalidInputError(f"{file} is not UTF-8") from None
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from None
