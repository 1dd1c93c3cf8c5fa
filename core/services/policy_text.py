"""SQL conditions in one form, so that a policy can be compared with how Postgres prints it."""

import re
from collections.abc import Iterator

_ADDED = re.compile(r"\bAS \w+|::[\w\[\]]+", re.IGNORECASE)  # by Postgres: aliases and casts
_TOKENS = re.compile(r"[()]|'[^']*'|[^\s()']+")


def normal(condition: str | None) -> str:
    """Without what Postgres adds when it prints one. Only brackets that change nothing go: another
    grouping of AND and OR is another condition."""
    tokens = iter(_TOKENS.findall(_ADDED.sub(" ", condition or "")))
    return _any_of(tokens)


def _any_of(tokens: Iterator[str]) -> str:
    """Up to the bracket that closes."""
    either: list[list[list[str]]] = [[[]]]
    for token in tokens:
        match token.upper():
            case ")":
                break
            case "(":
                either[-1][-1].append(f"({_any_of(tokens)})")
            case "OR":
                either.append([[]])
            case "AND":
                either[-1].append([])
            case _:
                either[-1][-1].append(token if token.startswith("'") else token.lower())
    return " or ".join(_all_of(terms, is_alone=len(either) == 1) for terms in either)


def _all_of(terms: list[list[str]], *, is_alone: bool) -> str:
    return " and ".join(_term(words, is_alone=is_alone and len(terms) == 1) for words in terms)


def _term(words: list[str], *, is_alone: bool) -> str:
    """Brackets stay around what has an OR, and around what stands beside other words."""
    if len(words) == 1 and words[0].startswith("("):
        inside = words[0][1:-1]
        if is_alone or not _has_or(inside):
            return inside
    return " ".join(word[1:-1] if _is_one_thing(word) else word for word in words)


def _has_or(text: str) -> bool:
    """Outside of its own brackets."""
    depth = 0
    for token in _TOKENS.findall(text):
        depth += {"(": 1, ")": -1}.get(token, 0)
        if token == "or" and depth == 0:  # noqa: S105 - a word of SQL
            return True
    return False


def _is_one_thing(word: str) -> bool:
    return word.startswith("(") and not re.search(r"\b(and|or)\b", word)
