"""The difference of two documents, for display. The log itself keeps whole documents."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from core.json_text import equal

_SILENT = frozenset({"format", "version"})  # of the record, not of the entity


@dataclass(frozen=True, slots=True)
class Difference:
    """One place that differs; `missing` stands for "not there"."""

    path: str
    before: Any
    after: Any


class Missing:
    """Not null: not there at all."""

    def __repr__(self) -> str:
        return "(none)"


MISSING = Missing()


def differences(before: Any, after: Any) -> list[Difference]:
    """Leaf by leaf, in the order of the documents; lists differ as a whole."""
    start, end = (MISSING if document is None else document for document in (before, after))
    return list(_walk("", start, end))


def _walk(path: str, before: Any, after: Any) -> Iterator[Difference]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before | after:
            if path or key not in _SILENT:
                inner = f"{path}.{key}" if path else key
                yield from _walk(inner, before.get(key, MISSING), after.get(key, MISSING))
        return
    if MISSING in (before, after) and not path:
        existing = after if before is MISSING else before
        if isinstance(existing, dict):
            empty: dict[str, Any] = {}
            pair = (empty, existing) if before is MISSING else (existing, empty)
            yield from _walk("", *pair)
        return
    same = before is after or (MISSING not in (before, after) and equal(before, after))
    if not same:
        yield Difference(path, before, after)
