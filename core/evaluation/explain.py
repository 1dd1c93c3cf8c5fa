"""Why a flag has its value: every rule that was asked, with what it expected and found.

The answer is the engine's own; each part of a condition is asked with the function that the engine
compiled from the same document, so the two cannot disagree.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from core.evaluation.conditions import Scope, compile_condition
from core.evaluation.context import Context, getter
from core.evaluation.engine import Engine, Program
from core.evaluation.result import Result
from core.evaluation.ruleset import Segments
from core.evaluation.serves import Outcome


@dataclass(frozen=True, slots=True)
class Asked:
    """A condition, whether it held, what the attribute was (None: missing), and its parts."""

    condition: Any
    held: bool
    actual: Any = None
    parts: tuple["Asked", ...] = ()


@dataclass(frozen=True, slots=True)
class RuleAsked:
    """A rule. `bucket` is the number that a split chose by; `served` whether it answered."""

    id: str
    description: str
    serve: Any
    when: Asked
    bucket: int | None
    served: bool


@dataclass(frozen=True, slots=True)
class PrerequisiteAsked:
    """Another flag that must serve one of some variants."""

    flag: str
    wanted: tuple[str, ...]
    variant: str
    met: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """`rules` are those that were asked; `default` is what serves after all of them. `expired_at`
    is when the flag's time was over, if it is."""

    result: Result
    enabled: bool
    prerequisites: tuple[PrerequisiteAsked, ...] = ()
    rules: tuple[RuleAsked, ...] = ()
    not_asked: int = 0
    default: Any = None
    bucket: int | None = None
    fault: str | None = None
    expired_at: datetime | None = None


def explain(engine: Engine, segments: Segments, key: str, context: Context) -> Explanation | None:
    """None for a flag that is not there."""
    program = engine.programs.get(key)
    if program is None:
        return None
    result = program.decide(context)
    if program.targeting is None:
        fault = str(program.fault) if program.fault is not None else None
        expired_at = program.ruleset.expires_at if result.expired else None
        return Explanation(result, program.ruleset.enabled, fault=fault, expired_at=expired_at)
    prerequisites = tuple(_prerequisites(engine, program, context))
    if result.prerequisite is not None:
        return Explanation(result, enabled=True, prerequisites=prerequisites)
    document = program.ruleset.targeting if isinstance(program.ruleset.targeting, dict) else {}
    rules = tuple(_rules(engine, segments, program, document, context))
    ended = bool(rules) and rules[-1].served
    default = program.targeting.default
    return Explanation(
        result,
        enabled=True,
        prerequisites=prerequisites,
        rules=rules,
        not_asked=len(program.targeting.rules) - len(rules),
        default=None if ended else document.get("serve", {"variant": program.ruleset.on_variant}),
        bucket=None if ended else _bucket(default, context),
    )


def _bucket(serve: Outcome, context: Context) -> int | None:
    return serve.bucket(context) if serve.bucket is not None else None


def _prerequisites(engine: Engine, program: Program, context: Context) -> Any:
    for requirement in program.targeting.requires if program.targeting is not None else ():
        found = engine.programs[requirement.flag].decide(context)
        met = found.variant in requirement.variants and found.error is None
        yield PrerequisiteAsked(
            requirement.flag, tuple(sorted(requirement.variants)), found.variant, met
        )
        if not met:
            return


def _rules(
    engine: Engine, segments: Segments, program: Program, document: Any, context: Context
) -> Any:
    compiled = program.targeting.rules if program.targeting is not None else ()
    for rule, written in zip(compiled, document.get("rules", []), strict=True):
        asked = _ask(written["when"], Scope(engine.segments, engine.limits), segments, context)
        served = asked.held and rule.serve.serves(context)
        bucket = _bucket(rule.serve, context) if asked.held else None
        yield RuleAsked(
            rule.id, written.get("description", ""), written["serve"], asked, bucket, served
        )
        if served:
            return


def _ask(document: Any, scope: Scope, segments: Segments, context: Context) -> Asked:
    held = compile_condition(document, scope.fresh())(context)
    if not isinstance(document, Mapping):
        return Asked(document, held)
    inner: list[Any] = [*document.get("all", ()), *document.get("any", ())]
    if "not" in document:
        inner.append(document["not"])
    if "segment" in document:
        inner.append(segments[document["segment"]])
    actual = getter(document["attr"])(context) if "attr" in document else None
    return Asked(
        document, held, actual, tuple(_ask(part, scope, segments, context) for part in inner)
    )
