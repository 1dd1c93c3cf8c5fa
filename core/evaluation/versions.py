"""Semantic versions, strictly by SemVer 2.0.0, as keys that sort by precedence."""

import re
from functools import lru_cache
from typing import Any, Final

_NUMBER: Final = r"(0|[1-9][0-9]*)"
_PART: Final = r"(?:0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_VERSION: Final = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_PART}(?:\.{_PART})*))?(?:\+[0-9a-zA-Z.-]+)?"
)
_LONGEST: Final = 255
Key = tuple[Any, ...]


@lru_cache(maxsize=4_096)
def version_key(text: str) -> Key | None:
    """None for what is no version. Build metadata does not count."""
    match = _VERSION.fullmatch(text) if len(text) <= _LONGEST else None
    if match is None or text.endswith((".", "+")) or ".." in text:
        return None
    major, minor, patch, pre = match.groups()
    numbers = (int(major), int(minor), int(patch))
    if pre is None:
        return (*numbers, 1)
    parts = [(0, int(p), "") if p.isdigit() else (1, 0, p) for p in pre.split(".")]
    return (*numbers, 0, tuple(parts))
