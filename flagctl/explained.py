"""An explanation as a tree for the terminal."""

from collections.abc import Iterator
from typing import Any

from core.evaluation.context import TARGETING_KEY
from core.evaluation.explain import Asked, Explanation, RuleAsked
from core.json_text import render
from core.language.printer import print_condition
from flagctl.output import printable
from flagctl.targeting_options import shown_serve

_MARKS = {True: "✓", False: "✗"}


def lines(explanation: Explanation) -> Iterator[str]:
    """What was asked, in order; the winner is marked with an arrow."""
    if explanation.fault is not None:
        yield f"cannot be read: {explanation.fault}"
    if explanation.expired_at is not None:
        moment = explanation.expired_at
        yield f"→ it expired on {moment:%Y-%m-%d %H:%M:%S} UTC: the off variant"
        return
    if not explanation.enabled:
        yield "→ it is off: the off variant"
        return
    for required in explanation.prerequisites:
        wanted = " or ".join(required.wanted)
        yield (
            f"{_MARKS[required.met]} requires {required.flag} to serve {wanted}:"
            f" it serves {required.variant}"
        )
    if explanation.result.prerequisite is not None:
        yield "→ the off variant"
        return
    for number, rule in enumerate(explanation.rules, 1):
        yield from _rule(number, rule)
    if explanation.not_asked:
        yield f"  {explanation.not_asked} more not asked"
    if explanation.default is not None:
        bucket = _bucket(explanation.bucket, explanation.default)
        yield f"→ default: {shown_serve(explanation.default)}{bucket}"


def _rule(number: int, rule: RuleAsked) -> Iterator[str]:
    mark = "→" if rule.served else " "
    name = f" ({rule.description})" if rule.description else ""
    bucket = _bucket(rule.bucket, rule.serve) if rule.when.held else ""
    yield f"{mark} {number}. rule {rule.id}{name}: {shown_serve(rule.serve)}{bucket}"
    yield from _asked(rule.when, "     ")


def _bucket(bucket: int | None, serve: Any) -> str:
    if "split" not in serve:
        return ""
    if bucket is None:
        by = serve["split"].get("by", {}).get("attributes", [TARGETING_KEY])
        return f": not served, {' or '.join(by)} is missing"
    return f", bucket {bucket}"


def _asked(asked: Asked, indent: str) -> Iterator[str]:
    text = print_condition(asked.condition)
    actual = ""
    if isinstance(asked.condition, dict) and "attr" in asked.condition:
        found = "missing" if asked.actual is None else _shown(asked.actual)
        actual = f"  ({asked.condition['attr']} is {found})"
    yield f"{indent}{_MARKS[asked.held]} {printable(text)}{printable(actual)}"
    for part in asked.parts:
        yield from _asked(part, indent + "   ")


def _shown(value: Any) -> str:
    text = render(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
