"""Evaluations by environment, flag and variant: counted only where the settings ask for it."""

from collections import Counter
from collections.abc import Iterable
from typing import Final

from core.evaluation.result import Result

OTHERS: Final = ("", "", "")
Labels = tuple[str, str, str]  # the environment's public id, the flag's key, the variant


class EvaluationCounts:
    """At most so many series, in the order they came up; the rest is one."""

    def __init__(self, most: int) -> None:
        self._most = most
        self.numbers: Counter[Labels] = Counter()

    @property
    def is_wanted(self) -> bool:
        return self._most > 0

    def add(self, environment_id: str, results: Iterable[Result]) -> None:
        numbers = self.numbers
        for result in results:
            labels = (environment_id, result.key, result.variant or "")
            if labels in numbers or len(numbers) < self._most:
                numbers[labels] += 1
            else:
                numbers[OTHERS] += 1
