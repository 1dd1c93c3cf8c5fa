"""Evaluation contexts as they are typed: `--context name=value`, files, JSON lines."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from core.errors import InvalidInputError
from core.evaluation.context import TARGETING_KEY, split_path
from core.evaluation.context_json import (
    ContextError,
    NoJsonError,
    UnreadableError,
    check,
    read,
)
from core.evaluation.faults import Fault

_CONSTANTS: Final = ("NaN", "Infinity", "-Infinity")  # which Python takes for JSON
_DEEPEST: Final = 64  # a server's bound is a setting, and less unless it is set


def context_of(pairs: list[str] | None, file: str | None, key: str | None) -> dict[str, Any]:
    """Later ones win: the file, then --context, then --targeting-key. Raises InvalidInputError."""
    context = _object(_read(file), f"the context in {file}") if file is not None else {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise InvalidInputError(f"{pair!r} is no attribute", hint="--context NAME=VALUE")
        _put(context, name, _value(value, name))
    if key is not None:
        context[TARGETING_KEY] = key
    return context


def lines_of(file: str) -> list[bytes]:
    """The lines of a file; - is stdin. Raises InvalidInputError."""
    text = _read(file)
    encoding = json.detect_encoding(text)
    if encoding.startswith(("utf-16", "utf-32")):
        try:
            text = text.decode(encoding).encode()
        except UnicodeDecodeError:
            raise InvalidInputError(f"{file} is not {encoding.upper()}") from None
    return text.removesuffix(b"\n").split(b"\n")


def contexts_in(lines: list[bytes], file: str) -> Iterator[dict[str, Any]]:
    """Each of its lines, as JSON. Raises InvalidInputError that names the line."""
    for number, line in enumerate(lines, 1):
        if line.strip():
            yield _object(line, f"line {number} of {file}")


def _value(text: str, name: str) -> Any:
    """As JSON where it has JSON's form, else text."""
    if text in _CONSTANTS:
        return text
    try:
        return _checked(text.encode(), name, name)
    except NoJsonError:
        return text
    except UnreadableError as error:
        raise InvalidInputError(str(error)) from None


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


def _object(text: bytes, what: str) -> dict[str, Any]:
    try:
        found = _checked(text, what, f"{what}: $")
    except UnreadableError as error:
        raise InvalidInputError(str(error)) from None
    if not isinstance(found, dict):
        raise InvalidInputError(f"{what} is no JSON object")
    return found


def _checked(text: bytes, what: str, place: str) -> Any:
    """Raises UnreadableError, and InvalidInputError with the place in it."""
    try:
        value = read(text, what)
        check(value, place, _DEEPEST)
    except ContextError as error:
        raise InvalidInputError(str(error)) from None
    return value


def _read(file: str) -> bytes:
    try:
        return sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes()
    except OSError as error:
        raise InvalidInputError(f"{file} cannot be read: {error.strerror}") from None
