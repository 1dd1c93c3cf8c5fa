"""Tables of rows, as wide as what is in them, or written below each other on a narrow terminal."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from flagctl import output

Column = tuple[str, Callable[[Any], object]]  # its heading, and what it shows of a row

GAP: Final = 3  # between two columns
_HARDLY: Final = 16  # letters of a description that are not worth a column
_INDENT: Final = "    "
_BETWEEN: Final = " · "


def draw(
    rows: Sequence[Any],
    columns: Iterable[Column],
    *,
    empty: str,
    narrow: Callable[[int], None] | None = None,
) -> None:
    """Rows under bold headings; `empty` is said, not printed, when there are none.

    `narrow` prints them where the terminal, of so many letters, is too narrow for that.
    """
    if not rows:
        output.say(empty)
        return
    columns = list(columns)
    headings = [heading for heading, _ in columns]
    cells = [[output.cell(value(row)) for _, value in columns] for row in rows]
    room = output.width()
    fitting = _with_room([headings, *cells], room)
    widths = [max(map(wide, column)) for column in zip(*fitting, strict=True)]
    total = sum(widths) + GAP * (len(widths) - 1)
    if total <= room:
        output.line(_row(fitting[0], widths, lambda _: "bold"))
        output.line(("─" if output.is_unicode() else "-") * total)
        for texts in fitting[1:]:
            output.line(_row(texts, widths, output.tone))
    elif narrow is not None:
        narrow(room)
    else:
        _below_each_other(headings, cells, room)


def wide(text: str) -> int:
    """How many columns of a terminal it takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # deferred: few texts have letters of double width

    return cell_len(text)


def _row(texts: list[str], widths: list[int], tone: Callable[[str], str]) -> str:
    """What is last in it is not padded."""
    padded = (
        output.styled(text, tone(text)) + " " * (width + GAP - wide(text))
        for text, width in zip(texts, widths, strict=True)
    )
    return "".join(padded).rstrip()


def _with_room(rows: list[list[str]], room: int) -> list[list[str]]:
    """The last words of a description go before the letters of a key do, and where hardly a word
    is left, all of them. The headings are the first row.
    """
    if "description" not in rows[0]:
        return rows
    at = rows[0].index("description")
    widths = [max(map(wide, column)) for column in zip(*rows, strict=True)]
    left = room - sum(width + GAP for i, width in enumerate(widths) if i != at)
    if left < min(_HARDLY, widths[at]):
        return [[*row[:at], *row[at + 1 :]] for row in rows]
    return [[*row[:at], cut(row[at], left), *row[at + 1 :]] for row in rows]


def cut(text: str, room: int) -> str:
    """Its first letters, and a mark where there are more."""
    if wide(text) <= room:
        return text
    kept = text[: room - 1]
    while wide(kept) > room - 1:  # letters of double width
        kept = kept[:-1]
    return f"{kept.rstrip()}…"


def _below_each_other(headings: list[str], cells: list[list[str]], room: int) -> None:
    """What is first alone on its line, whole, and below it the rest, each with its heading."""
    for first, *others in cells:
        output.line(output.styled(first, "bold"))
        left = 0
        lines: list[list[str]] = []
        for heading, text in zip(headings[1:], others, strict=True):
            if not text:
                continue
            size = wide(f"{heading} {text}{_BETWEEN}")
            if size > left:
                lines.append([])
                left = room - len(_INDENT)
            left -= size
            named = f"{output.styled(heading, 'dim')} {output.styled(text, output.tone(text))}"
            lines[-1].append(named.strip())
        for parts in lines:
            output.line(_INDENT + _BETWEEN.join(parts))
