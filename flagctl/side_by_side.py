"""Tables that lie on their side: a column for each item, to compare them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flagctl import output, tables

_Row = tuple[str, list[str]]


def side_by_side(
    items: Sequence[Any], heading: tables.Column, rows: Iterable[tables.Column], *, empty: str
) -> None:
    """In as many blocks as the terminal's width asks for. A row that says nothing is left out."""
    if not items:
        output.say(empty)
        return
    name, head = heading
    heads = [output.cell(head(item)) for item in items]
    lines = [(label, [output.cell(value(item)) for item in items]) for label, value in rows]
    lines = [(label, cells) for label, cells in lines if any(cells)]
    labels = max(len(name), *(len(label) for label, _ in lines))
    columns = zip(heads, *(cells for _, cells in lines), strict=True)
    for number, block in enumerate(
        _blocks([max(map(len, c)) for c in columns], output.width() - labels)
    ):
        if number:
            output.line("")
        shown: list[tables.Column] = [(name, _label)]
        shown += [(heads[at], _value(at)) for at in block]
        tables.draw(lines, shown, empty="")


def _label(row: _Row) -> str:
    return row[0]


def _value(at: int) -> Callable[[_Row], str]:
    return lambda row: row[1][at]


def _blocks(widths: list[int], room: int) -> list[range]:
    """Neighbours that fit into the room together; one alone where it does not fit either."""
    found, left = [range(0)], room
    for at, width in enumerate(widths):
        left -= width + tables.GAP
        if left < 0 and found[-1]:
            found.append(range(at, at))
            left = room - width - tables.GAP
        found[-1] = range(found[-1].start, at + 1)
    return found
