"""Checks what somebody writes with the code that will evaluate it."""

from collections.abc import Mapping
from typing import Any, Final, Protocol

from core.errors import ConflictError, InvalidInputError
from core.evaluation.conditions import Scope, Segment, compile_condition, named_segments
from core.evaluation.engine import compile_segments
from core.evaluation.faults import Fault
from core.evaluation.limits import READABLE
from core.evaluation.targeting import Subject, compile_targeting
from core.lookups import segment_documents
from core.services.bounds import refusal
from core.services.change import Change
from core.services.prerequisites import check_requirements, required_variants

_LARGEST = 1_000_000  # characters of one document, as JSON; Postgres holds it too
_STATES: Final = """
SELECT e.key, o.targeting, f.salt FROM flagctl.overrides o
JOIN flagctl.environments e ON e.id = o.environment_id JOIN flagctl.flags f ON f.id = o.flag_id
WHERE o.flag_id = %(flag)s ORDER BY e.id
"""


class _Flag(Protocol):
    """The columns that targeting is checked against."""

    @property
    def key(self) -> str: ...
    @property
    def variants(self) -> dict[str, Any]: ...
    @property
    def on_variant(self) -> str: ...
    @property
    def salt(self) -> str: ...


class _Environment(Protocol):
    @property
    def id(self) -> int: ...


def check_targeting(
    change: Change,
    flag: _Flag,
    environment: _Environment,
    document: Mapping[str, Any],
    before: Mapping[str, Any],
) -> None:
    """The writer's bounds hold for what is not in `before`, so that rules that were allowed more
    can be changed all the same. Raises InvalidInputError with the place of the fault."""
    segments: dict[str, Segment] = {}
    if named_segments(document.get("rules")):
        segments = dict(compile_segments(segment_documents(change.session)))
    subject = Subject(flag.key, flag.variants, flag.on_variant, flag.salt)
    try:
        _check_new_rules(document, before, Scope(segments, change.options.limits))
        targeting = compile_targeting(document, subject, Scope(segments, READABLE))
    except Fault as fault:
        raise refusal("this targeting", fault) from None
    if len(str(document)) > _LARGEST:
        raise InvalidInputError(f"the rules of {flag.key} are larger than {_LARGEST} characters")
    if targeting.requires:
        check_requirements(change, flag.key, environment.id, targeting.requires)


def _check_new_rules(document: Mapping[str, Any], before: Mapping[str, Any], scope: Scope) -> None:
    kept, rules = before.get("rules", []), document.get("rules", [])
    if len(rules) > max(scope.limits.rules, len(kept)):
        raise Fault(f"more than {scope.limits.rules}", "rules", limit="rules")
    for index, rule in enumerate(rules):
        if rule not in kept:
            try:
                compile_condition(rule["when"], scope.fresh())
            except Fault as fault:
                raise fault.under("when").under(f"rules[{index}]") from None


def check_states(
    change: Change, key: str, flag_id: int, variants: dict[str, Any], on_variant: str
) -> None:
    """Whether every environment's rules go with these variants. Raises ConflictError."""
    rows = change.session.ask(_STATES, {"flag": flag_id})
    segments = None
    for row in rows:
        if row.targeting.get("rules") and segments is None:
            segments = dict(compile_segments(segment_documents(change.session)))
        subject = Subject(key, variants, on_variant, row.salt)
        try:
            compile_targeting(row.targeting, subject, Scope(segments or {}, READABLE))
        except Fault as fault:
            if fault.path == "serve.variant":
                raise ConflictError(
                    f"the variant {row.targeting['serve']['variant']!r} is served in {row.key}",
                    hint=f"first `flagctl set {key} on --env {row.key}`",
                ) from None
            raise ConflictError(
                f"{key} would not work any more in {row.key}: {fault}",
                hint=f"first change what serves it there: `flagctl show {key}`",
            ) from None
    gone = required_variants(change, key) - variants.keys()
    if gone:
        raise ConflictError(f"other flags require {', '.join(sorted(gone))} of {key}")
