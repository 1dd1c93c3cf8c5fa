"""What a rule serves: one variant, or a split of several by bucket.

    {"variant": name}
    {"split": {"by"?: Bucket, "arms": [{"serve": S, "weight": w | "range": [a, b]}]}}

Arms are half-open ranges of buckets, `weight` in the order of the list: raising the first arm's
share keeps whoever was in it. Ranges may leave a gap: whoever falls there is not served.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from itertools import accumulate, pairwise
from typing import Any, Final, NamedTuple

from core.evaluation.bucketing import Bucketing, Choice, compile_spread
from core.evaluation.context import Context
from core.evaluation.faults import Fault
from core.evaluation.result import Reason, Result
from core.names import closest

Finish = Callable[[str, Reason], Result]  # a variant's name and the reason → the finished result
Serve = Callable[[Context], Result | None]
_MOST_ARMS: Final = 100
_LARGEST_WEIGHT: Final = 1_000_000_000


class Outcome(NamedTuple):
    """A compiled serve: `constant` is its result for everybody, else `choose` decides, whose None
    is: not served. It is `choice` as a function."""

    constant: Result | None
    choose: Serve | None = None
    bucket: Bucketing | None = None
    choice: Choice[Result | None] | None = None

    def serves(self, context: Context) -> bool:
        """Whether there is something for this caller."""
        return self.choose is None or self.choose(context) is not None


def compile_serve(
    document: object, variants: Mapping[str, Any], salt: str, reason: Reason, finish: Finish
) -> Outcome:
    """`reason` is that of a plain variant. Raises Fault."""
    if not isinstance(document, dict) or len(document) != 1:
        raise Fault('an object with "variant" or "split"')
    if "variant" in document:
        return Outcome(finish(_variant(document["variant"], variants), reason))
    if "split" not in document:
        raise Fault('an object with "variant" or "split"')
    try:
        return _split(document["split"], variants, salt, finish)
    except Fault as fault:
        raise fault.under("split") from None


def _variant(name: object, variants: Mapping[str, Any]) -> str:
    if isinstance(name, str) and name in variants:
        return name
    hint = closest(name, list(variants)) if isinstance(name, str) else ""
    raise Fault(
        f"there is no variant {name!r}; " + (hint or f"there are {', '.join(variants)}"), "variant"
    )


def _split(document: object, variants: Mapping[str, Any], salt: str, finish: Finish) -> Outcome:
    if not isinstance(document, dict):
        raise Fault("an object with arms")
    for unknown in sorted(str(key) for key in document if key not in ("by", "arms")):
        raise Fault("unknown beside by, arms", unknown)
    try:
        spread = compile_spread(document.get("by"), salt)
    except Fault as fault:
        raise fault.under("by") from None
    arms = document.get("arms")
    if not isinstance(arms, list) or not 1 <= len(arms) <= _MOST_ARMS:
        raise Fault(f"a list of one to {_MOST_ARMS} arms", "arms")
    results = []
    for index, arm in enumerate(arms):
        try:
            results.append(_arm(arm, variants, finish))
        except Fault as fault:
            raise fault.under(f"arms[{index}]") from None
    starts, chosen = _ranges(arms, results, spread.modulo)
    choice = Choice(spread, starts, chosen)
    return Outcome(None, choice.compiled(), spread.bucket, choice)


def _arm(arm: object, variants: Mapping[str, Any], finish: Finish) -> Result:
    if not isinstance(arm, dict) or len(arm) != 2 or "serve" not in arm:
        raise Fault('an object with "serve" and "weight" or "range"')
    serve = arm["serve"]
    if not isinstance(serve, dict) or serve.keys() != {"variant"}:
        raise Fault('an object with "variant"', "serve")
    try:
        return finish(_variant(serve["variant"], variants), Reason.SPLIT)
    except Fault as fault:
        raise fault.under("serve") from None


def _ranges(
    arms: list[Mapping[str, Any]], results: list[Result], modulo: int
) -> tuple[list[int], list[Result | None]]:
    """Where each stretch of buckets starts, and what it serves."""
    if all("weight" in arm for arm in arms):
        bounds = _from_weights([arm["weight"] for arm in arms], modulo)
    elif all("range" in arm for arm in arms):
        bounds = [_range(arm["range"], index, modulo) for index, arm in enumerate(arms)]
    else:
        raise Fault("each has a weight, or each a range", "arms")
    order = sorted((start, end, index) for index, (start, end) in enumerate(bounds) if start < end)
    for (_, end, first), (start, _, second) in pairwise(order):
        if start < end:
            raise Fault(f"overlaps with arms[{first}]", f"arms[{second}].range")
    starts: list[int] = [0]
    chosen: list[Result | None] = [None]
    for start, end, index in order:
        starts += [start, end]
        chosen += [results[index], None]
    return starts, chosen


def _from_weights(weights: list[Any], modulo: int) -> list[tuple[int, int]]:
    for index, weight in enumerate(weights):
        usable = isinstance(weight, int | float) and not isinstance(weight, bool)
        if not usable or not 0 <= weight <= _LARGEST_WEIGHT:
            raise Fault(f"a number from 0 to {_LARGEST_WEIGHT}", f"arms[{index}].weight")
    exact = [w if isinstance(w, int) else Fraction(str(w)) for w in weights]
    total = sum(exact)
    if total == 0:
        raise Fault("the weights add up to nothing", "arms")
    ends = [before * modulo // total for before in accumulate(exact, initial=0)]
    return list(pairwise(ends))


def _range(document: object, index: int, modulo: int) -> tuple[int, int]:
    if (
        isinstance(document, list)
        and len(document) == 2
        and all(type(end) is int for end in document)
        and 0 <= document[0] <= document[1] <= modulo
    ):
        return document[0], document[1]
    raise Fault(f"two whole numbers from 0 to {modulo}, in order", f"arms[{index}].range")
