"""Condition → text, in the one way that parses back to the same document."""

import json
import re
from collections.abc import Mapping
from typing import Any

from core.json_text import JsonValue, render
from core.language.grammar import RESERVED, SYMBOLS

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z_][A-Za-z0-9_-]*)*")


def print_condition(document: JsonValue) -> str:
    """A condition that compiles, as people type it."""
    if document is True:
        return "true"
    assert isinstance(document, Mapping)  # noqa: S101 - the caller has compiled it
    for kind, word in (("all", "and"), ("any", "or")):
        if kind in document:
            return _chain(document[kind], kind, word)
    if "not" in document:
        return f"not {_inner(document['not'])}"
    if "segment" in document:
        return f"segment({_text(document['segment'])})"
    return _comparison(document)


def _chain(members: Any, kind: str, word: str) -> str:
    if len(members) < 2:  # a word between two needs two
        return f"{kind}({', '.join(print_condition(m) for m in members)})"
    return f" {word} ".join(map(_inner, members))


def _inner(document: Any) -> str:
    is_chain = isinstance(document, Mapping) and any(
        len(document.get(kind, ())) > 1 for kind in ("all", "any")
    )
    text = print_condition(document)
    return f"({text})" if is_chain else text


def _comparison(document: Mapping[str, Any]) -> str:
    path, op = document["attr"], document["op"]
    name = path if _NAME.fullmatch(path) and path.split(".")[0] not in RESERVED else None
    attribute = name or f"attr({_text(path)})"
    if op == "exists":
        return f"exists({attribute})"
    if op == "cidr":
        return f"{attribute} in cidr({', '.join(map(_text, document['values']))})"
    if op in ("in", "not_in"):
        values = ", ".join(map(render, document["values"]))
        return f"{attribute} {op.replace('_', ' ')} [{values}]"
    if op.startswith("semver_"):
        symbol = SYMBOLS[op.removeprefix("semver_")]
        return f"{attribute} {symbol} semver({_text(document['value'])})"
    return f"{attribute} {SYMBOLS.get(op, op)} {render(document['value'])}"


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
