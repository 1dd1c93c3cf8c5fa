"""The one module that prints: data on stdout, talk on stderr."""

import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, cast

import typer

Format = Literal["table", "json", "yaml"]


def plain(value: Any) -> Any:
    """Dataclasses, named tuples, times and ids as JSON can hold them."""
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case None | bool() | int() | float():
            return value
        case str():
            return str(value)  # an enumeration's member as its text, which YAML needs
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case tuple() if hasattr(value, "_asdict"):
            return plain(value._asdict())
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
        line(json.dumps(plain(value), ensure_ascii=not is_unicode(), indent=2))


def record(value: Any, output: Format) -> None:
    """One of many that come one by one: a line of JSON, or a YAML document of its own."""
    if output == "yaml":
        line("---")
        emit(value, output)
        sys.stdout.flush()
    else:
        line(json.dumps(plain(value), ensure_ascii=not is_unicode()))


def is_unicode() -> bool:
    """Whether stdout can hold every character; else JSON escapes them, and stays JSON."""
    return (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"


def line(text: str) -> None:
    """Data for people or pipes: one line on stdout."""
    typer.echo(text)


def say(text: str) -> None:
    """Talk: on stderr, out of the way of pipes."""
    typer.echo(text, err=True)


def warn(text: str) -> None:
    say(f"{styled('warning:', 'yellow')} {text}")


def fail(code: str, message: str, hint: str, *, as_json: bool) -> None:
    """An error, for people or (as JSON) for scripts."""
    if as_json:
        document = {"error": {"code": code, "message": message, "hint": hint}}
        say(json.dumps(document, ensure_ascii=False))
        return
    say(f"{styled('error:', 'red')} {message}")
    if hint:
        say(f"{styled('hint:', 'cyan')} {hint}")


def width() -> int:
    """Of the terminal. A pipe has none: nothing is cut off, so that a script sees whole words."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else sys.maxsize


def fields(pairs: Iterable[tuple[str, object]]) -> None:
    """Names and values below each other; what is empty is left out."""
    shown = [(name, cell(value)) for name, value in pairs]
    shown = [(name, value) for name, value in shown if value]
    longest = max((len(name) for name, _ in shown), default=0)
    for name, value in shown:
        line(f"{styled(name.ljust(longest), 'bold')}  {value}")


def changes(before: Any, after: Any) -> list[str]:
    """The difference of two documents, a line each."""
    from core.audit.diff import MISSING, differences

    def shown(value: Any) -> str:
        return "(none)" if value is MISSING else json.dumps(plain(value), ensure_ascii=False)

    return [f"{d.path}: {shown(d.before)} → {shown(d.after)}" for d in differences(before, after)]


def is_interactive() -> bool:
    """Whether somebody is there to answer a question."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def cell(value: object) -> str:
    match value:
        case None | "" | [] | {}:
            return ""
        case bool():
            return "yes" if value else "no"
        case datetime():
            return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")
        case list() | tuple():
            return ", ".join(cell(item) for item in cast("list[object]", value))
        case _:
            return printable(str(value))


def printable(text: str) -> str:
    """Foreign text, a database's or an issuer's, must not steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def tone(cell: str) -> str:
    """The style of a word that means something."""
    return {"on": "green", "off": "dim", "revoked": "red", "expired": "red"}.get(cell, "")


def styled(text: str, style: str) -> str:
    """Bold, dim, or a colour; as it is where there are none."""
    if not style or not _has_colours():
        return text
    match style:
        case "bold":
            return typer.style(text, bold=True)
        case "dim":
            return typer.style(text, dim=True)
        case _:
            return typer.style(text, fg=style, bold=True)


def _has_colours() -> bool:
    """Whether the terminal has them, and somebody wants them."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return sys.stderr.isatty() and sys.stdout.isatty()


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
