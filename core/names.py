"""What things may be called, and which name was probably meant."""

import re
from collections.abc import Iterable
from difflib import get_close_matches

from core.errors import InvalidInputError
from core.time_limits import time_limit

DEFAULT_KEY_PATTERN = r"[a-z0-9]+(?:[_.-][a-z0-9]+)*"
MAX_NEW_KEY = 128
MAX_KEY = 255  # what the schema and the server take: imports bring such keys
_ENVIRONMENT_KEY = re.compile(r"[a-z0-9]+(?:[_-][a-z0-9]+)*")
_MAX_ENVIRONMENT_KEY = 64


def check_new_key(key: str, *, noun: str, pattern: str = DEFAULT_KEY_PATTERN) -> str:
    """Refuse a key that the organization's pattern does not match. `noun` is "flag", "config"…"""
    check_key(key, noun=noun)
    if len(key) > MAX_NEW_KEY:
        raise InvalidInputError(f"the {noun} key {_shown(key)} is longer than {MAX_NEW_KEY}")
    with time_limit(1.0, what=f"matching the {noun} key with the organization's key pattern"):
        matches = re.fullmatch(pattern, key)
    if not matches:
        hint = f"keys match {pattern}"
        if pattern == DEFAULT_KEY_PATTERN:
            hint = "keys are lower-case words and digits joined by _ - or ., as in new_checkout"
        raise InvalidInputError(f"{_shown(key)} is not a valid {noun} key", hint=hint)
    return key


def check_pattern(pattern: str) -> str:
    """Refuse what is no regular expression."""
    check_text(pattern, what="the pattern", at_most=500)
    try:
        re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise InvalidInputError(f"the pattern is no regular expression: {error}") from None
    return pattern


def check_key(key: str, *, noun: str) -> str:
    """Refuse what no flagctl key can be: empty, too long, or not printable."""
    if not key:
        raise InvalidInputError(f"the {noun} key is empty")
    if len(key) > MAX_KEY:
        raise InvalidInputError(f"the {noun} key {_shown(key)} is longer than {MAX_KEY} characters")
    if not key.isprintable():
        raise InvalidInputError(f"the {noun} key {_shown(key)} has a character that does not print")
    return key


def check_environment_key(key: str, *, noun: str = "environment") -> str:
    """Also an organization's: both stand in options that are typed by hand."""
    if len(key) > _MAX_ENVIRONMENT_KEY or not _ENVIRONMENT_KEY.fullmatch(key):
        raise InvalidInputError(
            f"{_shown(key)} is not a valid {noun} key",
            hint=f"lower-case words joined by _ or -, at most {_MAX_ENVIRONMENT_KEY} characters",
        )
    return key


def check_text(text: str, *, what: str, at_most: int = 2_000) -> str:
    """Refuse free text (a description, a reason…) that Postgres or a terminal cannot hold."""
    if len(text) > at_most:
        raise InvalidInputError(f"{what} is longer than {at_most} characters")
    if any(c != "\n" and c != "\t" and not c.isprintable() for c in text):
        raise InvalidInputError(f"{what} has a character that does not print")
    return text


def closest(name: str, known: Iterable[str]) -> str:
    """A hint that names the closest matches, or "" when nothing comes near."""
    matches = get_close_matches(name, list(dict.fromkeys(known)), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(matches)}?" if matches else ""


def _shown(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:57]}...")
