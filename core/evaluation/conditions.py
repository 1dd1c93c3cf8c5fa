"""Conditions: JSON documents, compiled into functions of the context.

    true | {"all": [C…]} | {"any": [C…]} | {"not": C} | {"segment": key}
         | {"attr": path, "op": name, "value": v} | … "values": [v…]

Checking what somebody writes and preparing what is loaded are the same code: what was accepted can
be evaluated.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from core.evaluation.context import Context, getter, split_path
from core.evaluation.faults import Fault
from core.evaluation.limits import DEFAULT, Limits
from core.evaluation.operators import MANY, NONE, OPERATORS
from core.names import closest

Predicate = Callable[[Context], bool]


@dataclass(frozen=True, slots=True)
class Segment:
    """A compiled segment, and what it adds to a condition that names it."""

    test: Predicate
    depth: int
    nodes: int


@dataclass(slots=True)
class Scope:
    """What a condition may refer to, and how large it may be; then, how large it turned out."""

    segments: Mapping[str, Segment] = field(default_factory=dict)
    limits: Limits = DEFAULT
    depth: int = 0
    nodes: int = 0

    def fresh(self) -> "Scope":
        return Scope(self.segments, self.limits)

    def count(self, nodes: int, depth: int) -> None:
        """Raises Fault where it gets too much: a segment counts wherever it is named, because it
        is asked wherever it is named."""
        self.nodes += nodes
        if depth > self.depth:
            self.depth = depth
        if self.nodes > self.limits.nodes:
            raise Fault(f"more than {self.limits.nodes} conditions", limit="nodes")
        if self.depth > self.limits.depth:
            raise Fault(f"nested deeper than {self.limits.depth}", limit="depth")


def compile_condition(document: object, scope: Scope, depth: int = 0) -> Predicate:
    """Raises Fault, with the path of what is wrong."""
    if document is True:
        return _always
    if not isinstance(document, dict):
        raise Fault("a condition is true or an object")
    scope.count(1, depth + 1)
    for kind, compile_kind in _KINDS.items():
        if kind in document:
            return compile_kind(document, scope, depth)
    raise Fault(f"an object with one of {', '.join(_KINDS)}")


def named_segments(document: object) -> set[str]:
    """The segments that any document names, at any depth, whether it compiles or not."""
    found: set[str] = set()
    waiting = [document]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if isinstance(key := one.get("segment"), str):
                found.add(key)
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
    return found


def _always(_: Context) -> bool:
    return True


def _members(document: Mapping[str, Any], name: str, scope: Scope, depth: int) -> list[Predicate]:
    _only(document, name)
    inner = document[name]
    if not isinstance(inner, list):
        raise Fault("a list of conditions", name)
    found = []
    for index, member in enumerate(inner):
        try:
            found.append(compile_condition(member, scope, depth + 1))
        except Fault as fault:
            raise fault.under(f"{name}[{index}]") from None
    return found


def _all(document: Mapping[str, Any], scope: Scope, depth: int) -> Predicate:
    members = _members(document, "all", scope, depth)
    if len(members) == 1:
        return members[0]
    if len(members) == 2:
        first, second = members
        return lambda context: first(context) and second(context)

    def every(context: Context) -> bool:
        for member in members:  # noqa: SIM110 - a generator costs more than the members
            if not member(context):
                return False
        return True

    return every


def _any(document: Mapping[str, Any], scope: Scope, depth: int) -> Predicate:
    members = _members(document, "any", scope, depth)
    if len(members) == 1:
        return members[0]
    if len(members) == 2:
        first, second = members
        return lambda context: first(context) or second(context)

    def some(context: Context) -> bool:
        for member in members:  # noqa: SIM110
            if member(context):
                return True
        return False

    return some


def _not(document: Mapping[str, Any], scope: Scope, depth: int) -> Predicate:
    _only(document, "not")
    try:
        inner = compile_condition(document["not"], scope, depth + 1)
    except Fault as fault:
        raise fault.under("not") from None
    return lambda context: not inner(context)


def _segment(document: Mapping[str, Any], scope: Scope, depth: int) -> Predicate:
    _only(document, "segment")
    key = document["segment"]
    found = scope.segments.get(key) if isinstance(key, str) else None
    if found is None:
        hint = closest(key, list(scope.segments)) if isinstance(key, str) else ""
        raise Fault(f"there is no segment {key!r}" + (f"; {hint}" if hint else ""), "segment")
    scope.count(found.nodes, depth + 1 + found.depth)
    return found.test


def _attribute(document: Mapping[str, Any], scope: Scope, _depth: int) -> Predicate:
    name = document.get("op")
    if not isinstance(name, str) or name not in OPERATORS:
        hint = closest(name, list(OPERATORS)) if isinstance(name, str) else ""
        raise Fault(f"there is no operator {name!r}" + (f"; {hint}" if hint else ""), "op")
    operand = "values" if name in MANY else "value"
    wanted = _WITH_NONE if name in NONE else _WITH_MANY if name in MANY else _WITH_ONE
    if document.keys() != wanted:
        _only(document, *wanted)
        raise Fault(f"{name} needs it", min(wanted - document.keys()))
    path = document["attr"]
    try:
        is_deep = len(split_path(path)) > 1
    except Fault as fault:
        raise fault.under("attr") from None
    value = document.get(operand)
    if name == "eq" and isinstance(value, str) and not is_deep:  # most conditions: no second call
        return lambda context: context.get(path) == value
    try:
        test = OPERATORS[name](value, scope.limits)
    except Fault as fault:
        raise fault.under(operand) from None
    if is_deep:
        get = getter(path)
        return lambda context: test(get(context))
    return lambda context: test(context.get(path))


def _only(document: Mapping[str, Any], *known: str) -> None:
    if len(document) == 1 == len(known):
        return  # the usual case: it is there, or nobody would ask
    for unknown in sorted(str(key) for key in document if key not in known):
        raise Fault(f"unknown beside {', '.join(sorted(known))}", unknown)


_WITH_NONE: Final = frozenset({"attr", "op"})
_WITH_ONE: Final = _WITH_NONE | {"value"}
_WITH_MANY: Final = _WITH_NONE | {"values"}
_KINDS: Final[Mapping[str, Callable[[Mapping[str, Any], Scope, int], Predicate]]] = {
    "all": _all,
    "any": _any,
    "not": _not,
    "segment": _segment,
    "attr": _attribute,
}
