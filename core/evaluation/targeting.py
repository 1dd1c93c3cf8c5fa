"""The targeting document: what decides inside one environment, for a flag that is on.

    {"format": 1, "serve"?: Serve, "rules": [{"id", "description"?, "when": Cond, "serve": Serve}],
     "requires"?: [{"flag": key, "variants": [name…]}]}

Compiling it is checking it. `serve` is the default serve; without it, the on variant. The key
`schedule` is kept for changes at set times, which this release does not have.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from core.evaluation.conditions import Predicate, Scope, compile_condition
from core.evaluation.equalities import Equality, equality
from core.evaluation.faults import Fault, refuse_unknown
from core.evaluation.result import Reason, Result
from core.evaluation.serves import Outcome, compile_serve

FORMAT: Final = 1
_FIELDS: Final = frozenset({"format", "serve", "rules", "requires"})
_SCHEDULE: Final = "schedule"
_RULE_FIELDS: Final = frozenset({"id", "description", "when", "serve"})
_LONGEST_ID: Final = 64
_UNTOUCHED: Final = {"format": FORMAT}


class Subject(NamedTuple):
    """The flag that is compiled: its variants by name, and the salt of its splits."""

    key: str
    variants: Mapping[str, Any]
    on_variant: str
    salt: str

    def finish(self, variant: str, reason: Reason, rule: str | None = None) -> Result:
        return Result(self.key, self.variants[variant], variant, reason, rule)


class Rule(NamedTuple):
    """A compiled rule."""

    id: str
    when: Predicate
    serve: Outcome
    equality: Equality | None  # what `when` is, where it is no more than that


class Requirement(NamedTuple):
    """Another flag of the environment must serve one of these variants."""

    flag: str
    variants: frozenset[str]


class Targeting(NamedTuple):
    """A compiled document."""

    rules: tuple[Rule, ...]
    default: Outcome
    requires: tuple[Requirement, ...]


def compile_targeting(document: object, subject: Subject, scope: Scope) -> Targeting:
    """Raises Fault with the path of what is wrong. None is the document of a flag that was never
    touched here."""
    if document is None:
        document = _UNTOUCHED
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise Fault(f"a document of format {FORMAT}")
    if _SCHEDULE in document:
        raise Fault("kept for timed changes, which this release does not have", _SCHEDULE)
    refuse_unknown(document, _FIELDS)
    rules = _rules(document.get("rules", []), subject, scope)
    return Targeting(rules, _default(document, subject, bool(rules)), _requires(document, subject))


def _default(document: Mapping[str, Any], subject: Subject, has_rules: bool) -> Outcome:  # noqa: FBT001
    serve = document.get("serve", {"variant": subject.on_variant})
    reason = Reason.DEFAULT if has_rules else Reason.STATIC
    try:
        return compile_serve(serve, subject.variants, subject.salt, reason, subject.finish)
    except Fault as fault:
        raise fault.under("serve") from None


def _rules(documents: object, subject: Subject, scope: Scope) -> tuple[Rule, ...]:
    if not isinstance(documents, list) or len(documents) > scope.limits.rules:
        raise Fault(f"a list of at most {scope.limits.rules} rules", "rules", limit="rules")
    found: dict[str, Rule] = {}
    for index, document in enumerate(documents):
        try:
            rule = _rule(document, subject, scope.fresh())
            if rule.id in found:
                raise Fault(f"{rule.id!r} is the id of an earlier rule", "id")
        except Fault as fault:
            raise fault.under(f"rules[{index}]") from None
        found[rule.id] = rule
    return tuple(found.values())


def _rule(document: object, subject: Subject, scope: Scope) -> Rule:
    if not isinstance(document, dict):
        raise Fault("an object with id, when and serve")
    refuse_unknown(document, _RULE_FIELDS)
    id_ = document.get("id")
    if not isinstance(id_, str) or not 1 <= len(id_) <= _LONGEST_ID:
        raise Fault(f"a text of 1 to {_LONGEST_ID} characters", "id")
    if not isinstance(document.get("description", ""), str):
        raise Fault("a text", "description")
    try:
        when = compile_condition(document.get("when"), scope)
    except Fault as fault:
        raise fault.under("when") from None
    try:
        serve = compile_serve(
            document.get("serve"),
            subject.variants,
            subject.salt,
            Reason.TARGETING_MATCH,
            lambda variant, reason: subject.finish(variant, reason, id_),
        )
    except Fault as fault:
        raise fault.under("serve") from None
    return Rule(id_, when, serve, equality(document.get("when")))


def _requires(document: Mapping[str, Any], subject: Subject) -> tuple[Requirement, ...]:
    wanted = document.get("requires", [])
    if not isinstance(wanted, list) or len(wanted) > 100:
        raise Fault("a list of at most 100 prerequisites", "requires")
    found = []
    for index, one in enumerate(wanted):
        where = f"requires[{index}]"
        if not isinstance(one, dict) or one.keys() != {"flag", "variants"}:
            raise Fault("an object with flag and variants", where)
        names = one["variants"]
        if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
            raise Fault("a list of names of variants", f"{where}.variants")
        if not isinstance(one["flag"], str) or one["flag"] == subject.key:
            raise Fault("the key of another flag", f"{where}.flag")
        found.append(Requirement(one["flag"], frozenset(names)))
    return tuple(found)
