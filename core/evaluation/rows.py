"""Many flags for one context at once, which is most of what a bulk answer costs.

Usual flags have one shape: a table of rules over one attribute, then a split by one attribute, then
a last result. Flags that ask for the same attributes are columns of one loop without calls between.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple, TypeVar

import mmh3

from core.evaluation.bucketing import Choice
from core.evaluation.context import Context
from core.evaluation.equalities import Table
from core.evaluation.result import Result

T = TypeVar("T")
Decide = Callable[[Context], Result]
Finish = Callable[[Result], T]
Ask = Callable[[Context], list[T]]
_NO_RULES: Final = Table("", {})
_MOST_RULES: Final = 20  # each one's result is finished beforehand


class Row(NamedTuple):
    """A flag of the usual shape: `choice` spreads by one attribute, with an ASCII salt."""

    table: Table
    choice: Choice[Result | None] | None
    last: Result

    @property
    def asks_for(self) -> tuple[str, str | None, int, int]:
        """The attributes, and how the second is spread."""
        if self.choice is None:
            return self.table.attribute, None, 0, 0
        spread = self.choice.spread
        return self.table.attribute, spread.attribute, spread.seed, spread.modulo


def row_of(table: Table | None, choice: Choice[Result | None] | None, last: Result) -> Row | None:
    """None for a flag of another shape."""
    if choice is not None:
        spread = choice.spread
        if spread.attribute is None or not spread.prefix.isascii():
            return None
    table = table or _NO_RULES
    return Row(table, choice, last) if len(table.results) <= _MOST_RULES else None


def together(flags: Iterable[tuple[Decide, Row | None]], finish: Finish[T]) -> list[Ask[T]]:
    """Functions that give, one after the other, the finished results of all flags, in an order of
    their own. Whatever can come up is finished now."""
    groups: dict[tuple[str, str | None, int, int], list[tuple[Decide, Row]]] = {}
    others = []
    for decide, row in flags:
        if row is None:
            others.append(decide)
        else:
            groups.setdefault(row.asks_for, []).append((decide, row))
    found = [_group(members, finish) for members in groups.values()]
    return [*found, _one_by_one(others, finish)] if others else found


def _one_by_one(decides: list[Decide], finish: Finish[T]) -> Ask[T]:
    return lambda context: [finish(decide(context)) for decide in decides]


def _group(members: list[tuple[Decide, Row]], finish: Finish[T]) -> Ask[T]:
    attribute, by, seed, modulo = members[0][1].asks_for
    tables = [_finished(row.table.results, finish).get for _, row in members]
    lasts = [finish(row.last) for _, row in members]
    if by is None:
        cells = list(zip(tables, lasts, strict=True))

        def look_up(context: Context) -> list[T]:
            value = context.get(attribute)
            if type(value) is not str:
                return lasts
            return [find(value) or last for find, last in cells]

        return look_up
    choices = [row.choice for _, row in members if row.choice is not None]
    spread = [
        (find, choice.spread.prefix, choice.starts, _arms(choice, finish), last)
        for find, choice, last in zip(tables, choices, lasts, strict=True)
    ]
    one_by_one = _one_by_one([decide for decide, _ in members], finish)
    digest = mmh3.hash

    def look_up_or_choose(context: Context) -> list[T]:
        value, key = context.get(attribute), context.get(by)
        if type(key) is not str or not key.isascii():
            return one_by_one(context)
        known = value if type(value) is str else None
        return [
            find(known)  # type: ignore[arg-type]
            or chosen[bisect_right(starts, digest(prefix + key, seed, False) % modulo) - 1]  # noqa: FBT003
            or last
            for find, prefix, starts, chosen, last in spread
        ]

    return look_up_or_choose


def _finished(results: Mapping[str, Result], finish: Finish[T]) -> dict[str, T]:
    return {text: finish(result) for text, result in results.items()}


def _arms(choice: Choice[Result | None], finish: Finish[T]) -> list[T | None]:
    return [finish(result) if result is not None else None for result in choice.chosen]
