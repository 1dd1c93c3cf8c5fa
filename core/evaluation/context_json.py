"""The evaluation context out of JSON, read strictly: a fault names its place.

The server and the command line read contexts with the same eyes, else `flagctl eval` could not say
what a server says.
"""

import json
import re
from typing import Any, Final

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_LONGEST_PLACE: Final = 60  # characters, of one that is deep


class UnreadableError(ValueError):
    """The text is no JSON, or none that has one meaning."""


class NoJsonError(UnreadableError):
    """It does not have JSON's form."""


class ContextError(ValueError):
    """The text is JSON, and what it says is no context."""


def read(text: bytes, what: str) -> Any:
    """Any JSON, in an encoding that JSON may have; not checked yet. Raises UnreadableError
    and ContextError."""
    try:
        return _decoded(text)
    except RecursionError:
        raise ContextError(f"{what} is nested too deeply") from None
    except UnicodeDecodeError as error:
        raise UnreadableError(f"{what} is not {error.encoding.upper()}") from None
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise NoJsonError(f"{what} is no JSON: {error.msg} at {where}") from None
    except UnreadableError as error:
        raise type(error)(f"{what}: {error}") from None
    except ValueError:  # Python's, whose advice is for programmers
        raise UnreadableError(f"{what} has a number of too many digits") from None


def check(value: Any, place: str, deepest: int) -> None:
    """Raises ContextError for half a character, for infinity, and for too deep a nesting."""
    if not _is_fine(value, deepest):
        _find(value, place, deepest)


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
    """Whether `_find` finds nothing; it names the place of what it finds, which costs more than
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


def _find(value: Any, place: str, deepest: int, depth: int = 0) -> None:
    kind = type(value)
    if kind is str:
        if not value.isascii() and _SURROGATE.search(value):
            raise ContextError(f"{place} has half of a surrogate pair")
    elif kind is float:
        if value - value != 0:
            raise ContextError(f"{place} is larger than a double holds")
    elif kind is dict or kind is list:
        if depth >= deepest:
            raise ContextError(f"{place[:_LONGEST_PLACE]}… is nested deeper than {deepest}")
        for key, inner in value.items() if kind is dict else enumerate(value):
            if kind is dict:
                _find(key, f"a name in {place}", deepest, depth)
            where = f"{place}.{key}" if kind is dict else f"{place}[{key}]"
            _find(inner, where, deepest, depth + 1)
