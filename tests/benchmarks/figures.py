"""One measured figure, and how a list of them is shown."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """`value` is a ratio where `unit` is "×", and None where it could not be measured; `bound` is
    None where none is asked, and the least that is asked where `at_least`."""

    name: str
    value: float | None
    unit: str
    bound: float | None
    detail: str = ""
    at_least: bool = False


def show(figures: list[dict[str, Any]]) -> None:
    for figure in figures:
        value = "not measured" if figure["value"] is None else f"{figure['value']:.2f}"
        side = "at least" if figure["at_least"] else "at most"
        bound = "" if figure["bound"] is None else f" ({side} {figure['bound']:g})"
        detail = f"  {figure['detail']}" if figure["detail"] else ""
        print(f"{figure['name']}: {value} {figure['unit']}{bound}{detail}")
