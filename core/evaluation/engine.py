"""Asks the flags of one environment for their values. Pure: no clock, no I/O, and it never raises.
The time is handed in: an engine answers for one instant, and knows the next that changes an answer.

How a flag is decided, in this order:

1. it is off, or its time is over: the off variant, DISABLED
2. a prerequisite is not met: the off variant, DISABLED
3. the first rule whose condition holds and whose serve has an arm for the caller
4. the default serve: STATIC, DEFAULT, SPLIT; a split with nothing to spread by: the off variant,
   ERROR with TARGETING_KEY_MISSING

What cannot be read (a newer format, a missing segment, a circle: only raw SQL can make them) serves
its off variant with ERROR, because a rule that cannot be read may well be the one that keeps a
feature from somebody.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

from core.evaluation.conditions import Scope, Segment, compile_condition
from core.evaluation.context import Context
from core.evaluation.equalities import tabulated
from core.evaluation.faults import Fault
from core.evaluation.limits import READABLE, Limits
from core.evaluation.result import ErrorCode, Reason, Result
from core.evaluation.rows import Row, row_of
from core.evaluation.ruleset import Ruleset, Segments
from core.evaluation.targeting import Requirement, Subject, Targeting, compile_targeting
from core.evaluation.timed_changes import around, has_expired

Decide = Callable[[Context], Result]


@dataclass(frozen=True, slots=True)  # read for each answer, where a tuple is slower
class Program:
    """A compiled flag. `constant` is its result where no context can change it."""

    ruleset: Ruleset
    decide: Decide
    constant: Result | None
    asks: int = 1  # flags, itself among them
    targeting: Targeting | None = None  # None when off, expired, or not readable
    fault: Fault | None = None
    row: Row | None = None


class Engine:
    """The flags of one environment, compiled for the instant `at` (aware).

    `changed_at` is the last instant that changed an answer by itself, `changes_at` the next one:
    from the one until right before the other this engine's answers hold.
    """

    __slots__ = (
        "_constants",
        "_decisions",
        "changed_at",
        "changes_at",
        "limits",
        "programs",
        "segments",
    )

    def __init__(
        self,
        flags: Iterable[Ruleset],
        segments: Segments | None = None,
        limits: Limits = READABLE,
        *,
        at: datetime,
    ) -> None:
        flags, self.limits = tuple(flags), limits
        self.changed_at, self.changes_at = around(flags, at)
        self.segments: Mapping[str, Segment] = dict(compile_segments(segments or {}, limits))
        self.programs = _Compiler(flags, Scope(self.segments, limits), limits, at).programs
        self._constants = {k: p.constant for k, p in self.programs.items() if p.constant}
        self._decisions = {k: p.decide for k, p in self.programs.items() if not p.constant}

    def evaluate(self, key: str, context: Context) -> Result | None:
        """None for a flag that is not there."""
        found = self._constants.get(key)
        if found is not None:
            return found
        decide = self._decisions.get(key)
        return decide(context) if decide is not None else None

    def evaluate_all(self, context: Context) -> Iterator[Result]:
        """Every flag, in the order in which they were given."""
        for program in self.programs.values():
            yield program.constant or program.decide(context)


def compile_segments(
    documents: Segments, limits: Limits = READABLE
) -> Iterator[tuple[str, Segment]]:
    """Each after those that it names. What names a missing one, or itself, is left out; so is what
    is too large."""
    done: dict[str, Segment] = {}
    waiting = dict(documents)
    for _ in range(limits.depth):
        ready: dict[str, Segment] = {}
        for key, document in waiting.items():
            scope = Scope(done, limits)
            try:
                test = compile_condition(document, scope)
            except Fault:
                continue
            ready[key] = Segment(test, scope.depth, scope.nodes)
        if not ready:
            return
        done.update(ready)
        yield from ready.items()
        for key in ready:
            del waiting[key]


class _Compiler:
    """Compiles each flag after its prerequisites."""

    def __init__(
        self, flags: Iterable[Ruleset], scope: Scope, limits: Limits, at: datetime
    ) -> None:
        self._waiting = {flag.key: flag for flag in flags}
        self._at = at
        self._scope = scope
        self._limits = limits
        self._done: dict[str, Program] = {}
        self._open: list[str] = []
        for key in self._waiting:
            self._program(key)
        self.programs = {key: self._done[key] for key in self._waiting}

    def _program(self, key: str) -> Program | None:
        if key in self._done:
            return self._done[key]
        flag = self._waiting.get(key)
        if flag is None:
            return None
        if key in self._open or len(self._open) >= self._limits.prerequisites:
            raise Fault(
                f"a circle, or more than {self._limits.prerequisites} prerequisites in "
                f"one chain: {' → '.join([*self._open, key])}",
                "requires",
            )
        self._open.append(key)
        try:
            program = self._compile(flag)
        except Fault as fault:
            program = _unreadable(flag, fault)
        self._open.pop()
        self._done[key] = program
        return program

    def _compile(self, flag: Ruleset) -> Program:
        off = Result(flag.key, flag.variants[flag.off_variant], flag.off_variant, Reason.DISABLED)
        if expired := has_expired(flag.expires_at, self._at):
            off = off._replace(expired=True)
        if expired or not flag.enabled:
            return Program(flag, lambda _: off, off)
        subject = Subject(flag.key, flag.variants, flag.on_variant, flag.salt)
        targeting = compile_targeting(flag.targeting, subject, self._scope)
        decide, constant, row = _decision(targeting, off)
        if not targeting.requires:
            return Program(flag, decide, constant, targeting=targeting, row=row)
        required = [(r, self._required(r)) for r in targeting.requires]
        asks = 1 + sum(program.asks for _, program in required)
        if asks > self._limits.asked:
            raise Fault(f"more than {self._limits.asked} flags to ask", "requires")
        gates = [(requirement, program.decide) for requirement, program in required]
        return Program(flag, _gated(gates, decide, off), None, asks, targeting)

    def _required(self, requirement: Requirement) -> Program:
        program = self._program(requirement.flag)
        if program is None:
            raise Fault(f"there is no flag {requirement.flag!r}", "requires")
        return program


def _decision(targeting: Targeting, off: Result) -> tuple[Decide, Result | None, Row | None]:
    constant, choose = targeting.default.constant, targeting.default.choose
    if not targeting.rules and constant is not None:
        return (lambda _: constant), constant, None
    steps = tuple((r.when, r.serve.constant, r.serve.choose) for r in targeting.rules)
    last = constant or off._replace(reason=Reason.ERROR, error=ErrorCode.TARGETING_KEY_MISSING)

    def by_the_rules(context: Context) -> Result:
        for when, result, serve in steps:
            if when(context):
                served = serve(context) if serve is not None else result
                if served is not None:
                    return served
        return (choose(context) if choose is not None else None) or last

    table = tabulated([(r.equality, r.serve.constant) for r in targeting.rules])
    if table is None and targeting.rules:
        return by_the_rules, None, None
    decide = table.decide(choose, last) if table is not None else by_the_rules
    return decide, None, row_of(table, targeting.default.choice, last)


def _gated(gates: list[tuple[Requirement, Decide]], decide: Decide, off: Result) -> Decide:
    checks = [
        (ask, requirement.variants, off._replace(prerequisite=requirement.flag))
        for requirement, ask in gates
    ]

    def decide_behind(context: Context) -> Result:
        for ask, variants, refused in checks:
            found = ask(context)
            if found.variant not in variants or found.error is not None:
                return refused
        return decide(context)

    return decide_behind


def _unreadable(flag: Ruleset, fault: Fault) -> Program:
    result = Result(
        flag.key,
        flag.variants[flag.off_variant],
        flag.off_variant,
        Reason.ERROR,
        error=ErrorCode.PARSE_ERROR,
    )
    return Program(flag, lambda _: result, result, fault=fault)
