"""The evaluation context out of a request's body, read strictly: a fault names its place."""

import json
import re
from dataclasses import dataclass
from typing import Any, Final

_SURROGATE: Final = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large a context may be: `size` is the whole body's, in bytes."""

    depth: int = 32
    size: int = 1_048_576


class UnreadableError(ValueError):
    """The body is no JSON object."""


class ContextError(ValueError):
    """The body is JSON, and what it says is no context."""


def parse(body: bytes, deepest: int) -> dict[str, Any]:
    """The context of `{"context": {…}}`; `{}` has an empty one."""
    try:
        document = _decoded(body)
    except RecursionError:
        raise ContextError(f"it is nested deeper than {deepest}") from None
    except UnicodeDecodeError:
        raise UnreadableError("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise UnreadableError(f"the body is no JSON: {error.msg} at {where}") from None
    except ValueError as error:
        raise UnreadableError(str(error)) from None
    if not isinstance(document, dict):
        raise UnreadableError("the body is no JSON object")
    context = document.get("context", {})
    if not isinstance(context, dict):
        raise ContextError("context is no object")
    if not _is_fine(context, deepest):
        _check(context, "context", deepest)
    return context


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise UnreadableError(f"the key {twice!r} stands twice in one object")
    return found


def _refuse(constant: str) -> None:
    raise UnreadableError(f"JSON has no {constant}")


# json.loads makes one for each call.
_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse)


def _decoded(body: bytes) -> Any:
    """As json.loads, which takes twice as long for a body as small as they are."""
    is_utf8 = body[:1] == b"{" and body[1:2] != b"\0"
    text = body.decode("utf-8" if is_utf8 else json.detect_encoding(body), "surrogatepass")
    if is_utf8:
        document, end = _DECODER.raw_decode(text)
        if end == len(text):
            return document
    return _DECODER.decode(text)


def _is_fine(value: Any, left: int) -> bool:
    """Whether `_check` finds nothing; it names the place of what it finds, which costs more than
    all the rest. `left` is how many levels there may be."""
    kind = type(value)
    if kind is str:
        return value.isascii() or not _SURROGATE.search(value)
    if kind is float:
        return value - value == 0  # type: ignore[no-any-return]
    if kind is dict:
        for key, inner in value.items():
            if not key.isascii() and not _is_fine(key, left):
                return False
            if (type(inner) is not str or not inner.isascii()) and not _is_fine(inner, left - 1):
                return False
    elif kind is list:
        for inner in value:
            if not _is_fine(inner, left - 1):
                return False
    return left > 0 or kind not in (dict, list)


def _check(value: Any, place: str, deepest: int, depth: int = 0) -> None:
    """Raises ContextError for half a character, for infinity, and for too deep a nesting."""
    kind = type(value)
    if kind is str:
        if not value.isascii() and _SURROGATE.search(value):
            raise ContextError(f"{place} has half of a surrogate pair")
    elif kind is float:
        if value - value != 0:
            raise ContextError(f"{place} is larger than a double holds")
    elif kind is dict or kind is list:
        if depth >= deepest:
            raise ContextError(f"{place} is nested deeper than {deepest}")
        for key, inner in value.items() if kind is dict else enumerate(value):
            if kind is dict:
                _check(key, f"a name in {place}", deepest, depth)
            where = f"{place}.{key}" if kind is dict else f"{place}[{key}]"
            _check(inner, where, deepest, depth + 1)
