"""The one module that prints: data on stdout, talk on stderr."""

import dataclasses
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar, cast

import typer

Format = Literal["table", "json", "yaml"]
Column = tuple[str, Callable[[Any], object]]
T = TypeVar("T")
_MANY = 20  # environments that are worth a bar
_GAP = 3  # between two columns
_HARDLY = 16  # letters of a description that are not worth a column


def plain(value: Any) -> Any:
    """Dataclasses, times and ids as JSON can hold them."""
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)  # an enumeration's member as its text, which YAML needs
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case _ if dataclasses.is_dataclass(value):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        case _:
            return str(value)


def emit(value: Any, output: Format) -> None:
    """One document, as JSON or YAML."""
    if output == "yaml":
        import yaml  # deferred: few ask for it

        text = yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True)
        sys.stdout.write(text)
    else:
        line(json.dumps(plain(value), ensure_ascii=not _is_unicode(), indent=2))


def _is_unicode() -> bool:
    """Whether stdout can hold every character; else JSON escapes them, and stays JSON."""
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def line(text: str) -> None:
    """Data for people or pipes: one line on stdout."""
    typer.echo(text)


def say(text: str) -> None:
    """Talk: on stderr, out of the way of pipes."""
    typer.echo(text, err=True)


def warn(text: str) -> None:
    say(f"{_styled('warning:', 'yellow')} {text}")


def fail(code: str, message: str, hint: str, *, as_json: bool) -> None:
    """An error, for people or (as JSON) for scripts."""
    if as_json:
        document = {"error": {"code": code, "message": message, "hint": hint}}
        say(json.dumps(document, ensure_ascii=False))
        return
    say(f"{_styled('error:', 'red')} {message}")
    if hint:
        say(f"{_styled('hint:', 'cyan')} {hint}")


def table(rows: Sequence[Any], columns: Iterable[Column], *, empty: str) -> None:
    """Rows under bold headings; `empty` is said, not printed, when there are none."""
    if not rows:
        say(empty)
        return
    from rich import box  # deferred: a tenth of a second that most commands do not need
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", show_edge=False)
    console = Console(file=sys.stdout, highlight=False)
    columns = list(columns)
    headings = [heading for heading, _ in columns]
    cells = [[_cell(value(row)) for _, value in columns] for row in rows]
    if console.is_terminal:
        _fit_descriptions(headings, cells, console.width)
    for heading in headings:
        drawn.add_column(heading, overflow="fold")
    for texts in cells:
        drawn.add_row(*(Text(text, style=_tone(text)) for text in texts))
    if console.is_terminal:
        console.print(drawn)
        return
    # A pipe has no width: nothing is folded, so that a script sees whole words.
    console.width = 10_000
    with console.capture() as captured:
        console.print(drawn)
    for text in captured.get().splitlines():
        line(text.rstrip())


def _fit_descriptions(headings: list[str], cells: list[list[str]], width: int) -> None:
    """Make room: the last words of a description go before the letters of a key do, and where
    hardly a word is left, all of them.
    """
    if "description" not in headings:
        return
    at = headings.index("description")
    widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
    room = width - sum(w + _GAP for i, w in enumerate(widths) if i != at)
    if room < min(_HARDLY, widths[at]):
        for row in (headings, *cells):
            del row[at]
        return
    for row in cells:
        if len(row[at]) > room:
            row[at] = row[at][: room - 1].rstrip() + "…"


def progress(items: Sequence[T], what: str) -> Iterator[T]:
    """The items, with a bar on stderr while somebody watches and there are many."""
    if len(items) < _MANY or not sys.stderr.isatty():
        yield from items
        return
    from rich.console import Console  # deferred as in `table`
    from rich.progress import track

    yield from track(items, description=what, console=Console(stderr=True), transient=True)


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values below each other; what is empty is left out."""
    shown = [(name, _cell(value)) for name, value in pairs]
    shown = [(name, value) for name, value in shown if value]
    width = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        line(f"{_styled(name.ljust(width), 'bold')}  {value}")


def changes(before: Any, after: Any) -> list[str]:
    """The difference of two documents, a line each."""
    from core.audit.diff import MISSING, differences

    def shown(value: Any) -> str:
        return "(none)" if value is MISSING else json.dumps(plain(value), ensure_ascii=False)

    return [f"{d.path}: {shown(d.before)} → {shown(d.after)}" for d in differences(before, after)]


def is_interactive() -> bool:
    """Whether somebody is there to answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def _cell(value: object) -> str:
    match value:
        case None | "" | [] | {}:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        case list() | tuple():
            return ", ".join(_cell(item) for item in cast("list[object]", value))
        case _:
            return printable(str(value))


def printable(text: str) -> str:
    """Foreign text, a database's or an issuer's, must not steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _tone(cell: str) -> str:
    return {"on": "green", "off": "dim", "revoked": "red", "expired": "red"}.get(cell, "")


def _styled(text: str, style: str) -> str:
    if os.environ.get("NO_COLOR") or not sys.stderr.isatty() or not sys.stdout.isatty():
        return text
    if style == "bold":
        return typer.style(text, bold=True)
    return typer.style(text, fg=style, bold=True)


def ask_to_type(key: str, *, noun: str, needed: bool, where: str = "") -> None:
    """Before something is deleted: on a terminal its key is typed, elsewhere --yes is needed.

    `where` names the installation, for whoever has several.
    """
    from core.errors import ConfirmationNeededError

    if not needed:
        return
    if not is_interactive():
        raise ConfirmationNeededError(
            f"deleting the {noun} {key!r} needs a word", hint="pass --yes to delete it"
        )
    if _ask(f"Type {key} to delete it{where}: ") != key:
        raise typer.Abort


def confirm(what: str) -> None:
    """Ask whether to go on; anything but a yes stops."""
    say(f"{what}.")
    if _ask("Go on? [y/N]: ").strip().lower() not in ("y", "yes"):
        raise typer.Abort


def ask_hidden(question: str) -> str:
    """Ask for a secret, on a terminal: what is typed is not shown, nor is what was typed before."""
    import termios

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    hidden = [*before[:3], before[3] & ~termios.ECHO, *before[4:]]
    termios.tcsetattr(terminal, termios.TCSAFLUSH, hidden)
    try:
        return _ask(question)
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
        say("")  # the end of the line, which was not shown either


def _ask(question: str) -> str:
    """All of it on stderr; Typer's own prompt leaves a space on stdout."""
    typer.echo(question, err=True, nl=False)
    answer = sys.stdin.readline()
    if not answer:
        raise typer.Abort
    return answer.rstrip("\n")
