"""Checks a segment's condition: by itself, and for those who use it."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import select, tuple_

from core.errors import ConflictError, InvalidInputError
from core.evaluation.conditions import Scope, Segment, compile_condition, named_segments
from core.evaluation.engine import compile_segments
from core.evaluation.faults import Fault
from core.evaluation.limits import READABLE
from core.json_text import JsonValue
from core.lookups import segment_documents
from core.models import Environment, Flag, Override
from core.segment_uses import uses_of
from core.services.bounds import refusal
from core.services.change import Change

_HINT: Final = "make the segment smaller, or first what uses it"


def check_segment(change: Change, key: str, condition: JsonValue) -> None:
    """Raises InvalidInputError with the place of the fault, also where it leads back to itself;
    ConflictError for what would be too large with it."""
    documents = segment_documents(change.session)
    stored = dict(compile_segments(documents))
    is_new = documents.pop(key, None) is None
    compiled = dict(compile_segments(documents))
    try:
        compile_condition(condition, Scope(compiled, change.options.limits))
    except Fault as fault:
        for other in documents.keys() - compiled.keys():
            if other in named_segments(condition):
                raise InvalidInputError(
                    f"the segment {other!r} leads back to {key!r}", hint="a circle has no answer"
                ) from None
        raise refusal("the condition", fault) from None
    if not is_new:
        _check_users(change, key, stored, dict(compile_segments({**documents, key: condition})))


def _check_users(
    change: Change, key: str, before: Mapping[str, Segment], after: Mapping[str, Segment]
) -> None:
    """A segment counts wherever it is named, so a larger one may be too much for its users. What
    could not be used before is not this change's fault."""
    uses = uses_of(change.session, key)
    for use in uses:
        if use.flag is None and use.segment not in after:
            raise ConflictError(f"{use} would be too large, or nested too deep", hint=_HINT)
    places = {(use.flag, use.environment) for use in uses if use.flag is not None}
    rows = change.session.execute(
        select(Flag.key, Environment.key.label("environment"), Override.targeting)
        .join_from(Override, Flag, Flag.id == Override.flag_id)
        .join(Environment, Environment.id == Override.environment_id)
        .where(
            Override.organization_id == change.session.organization_id,
            tuple_(Flag.key, Environment.key).in_(places),
        )
    )
    for row in rows:
        for rule in _rules(row.targeting):
            fault = _fault(rule, after)
            if fault is not None and _fault(rule, before) is None:
                raise ConflictError(
                    f"the rule {rule['id']} of {row.key} in {row.environment} would not work any"
                    f" more: {fault}",
                    hint=_HINT,
                )


def _rules(targeting: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Those that have the form of one: raw SQL can have written anything."""
    rules = targeting.get("rules")
    return [r for r in rules if isinstance(r, dict) and "id" in r] if type(rules) is list else []


def _fault(rule: Mapping[str, Any], segments: Mapping[str, Segment]) -> Fault | None:
    try:
        compile_condition(rule.get("when"), Scope(segments, READABLE))
    except Fault as fault:
        return fault
    return None
