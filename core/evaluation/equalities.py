"""Flags whose rules all compare one attribute with a text and serve one variant: the usual ones.

    country is "DE" → a, country is "FR" → b, …      becomes      {"DE": a, "FR": b, …}

The order of such rules says only which of two with the same text comes first. One look-up takes the
place of a call for each rule, which is what most of a bulk answer's time went into.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from core.evaluation.context import Context
from core.evaluation.result import Result
from core.evaluation.serves import Serve


class Equality(NamedTuple):
    """A condition: an attribute that stands in the context itself is this text."""

    attribute: str
    value: str


def equality(condition: object) -> Equality | None:
    """The condition as one, if it is; it was compiled before, so it is well-formed."""
    if not isinstance(condition, dict) or condition.get("op") != "eq":
        return None
    attribute, value = condition["attr"], condition["value"]
    is_one = isinstance(value, str) and "." not in attribute
    return Equality(attribute, value) if is_one else None


class Table(NamedTuple):
    """The rules of a flag: what each text of an attribute serves."""

    attribute: str
    results: Mapping[str, Result]

    def decide(self, choose: Serve | None, last: Result) -> Callable[[Context], Result]:
        """By the rules, then by `choose`, then `last`."""
        attribute, find = self.attribute, self.results.get

        def decide(context: Context) -> Result:
            value = context.get(attribute)
            if type(value) is str and (found := find(value)) is not None:
                return found
            return last

        def decide_or_choose(context: Context) -> Result:
            value = context.get(attribute)
            if type(value) is str and (found := find(value)) is not None:
                return found
            return choose(context) or last  # type: ignore[misc]

        return decide if choose is None else decide_or_choose


def tabulated(rules: Sequence[tuple[Equality | None, Result | None]]) -> Table | None:
    """A flag's rules as a table: the condition of each, and the one result that it serves. None
    where one of them is anything else."""
    attribute = rules[0][0].attribute if rules and rules[0][0] is not None else None
    results: dict[str, Result] = {}
    for condition, result in rules:
        if condition is None or result is None or condition.attribute != attribute:
            return None
        results.setdefault(condition.value, result)
    return Table(attribute, results) if attribute is not None else None
