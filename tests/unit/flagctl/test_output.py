"""What is printed, and where."""

import io
import json
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import Any
from uuid import UUID

import pytest
import typer
import yaml

from core.errors import ConfirmationNeededError
from flagctl import output, tables


class Colour(StrEnum):
    RED = "red"


@dataclass(frozen=True)
class Row:
    name: str
    state: Any = "on"


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_plain() -> None:
    moment = datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=1)))
    value = {"row": Row("a", (1, 2.0, None)), "at": moment, "id": UUID(int=1), 5: [Colour.RED]}
    assert output.plain(value) == {
        "row": {"name": "a", "state": [1, 2.0, None]},
        "at": "2026-01-01T00:00:00Z",
        "id": "00000000-0000-0000-0000-000000000001",
        "5": ["red"],
    }


@pytest.mark.parametrize("value", [{"a": ["é", 10**30, 1.0, "\u2028"]}, [], "x", None])
def test_documents_come_back(value: Any, capsys: pytest.CaptureFixture[str]) -> None:
    output.emit(value, "json")
    assert json.loads(capsys.readouterr().out) == value
    output.emit(value, "yaml")
    assert yaml.safe_load(capsys.readouterr().out) == value


def test_an_enumeration_is_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit({"colour": Colour.RED}, "yaml")
    assert capsys.readouterr().out == "colour: red\n"


def test_talk_goes_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    output.say("a")
    output.warn("b")
    output.fail("kind", "c", "d", as_json=False)
    assert capsys.readouterr() == ("", "a\nwarning: b\nerror: c\nhint: d\n")
    output.fail("kind", "c", "", as_json=True)
    assert json.loads(capsys.readouterr().err) == {
        "error": {"code": "kind", "message": "c", "hint": ""}
    }


def test_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    long = "word " * 50 + "end"
    rows = [Row("a", True), Row(long, None), Row("[red]x[/]", ["b", "c"]), Row("\x1b[2J", 0)]
    tables.draw(rows, [("name", lambda r: r.name), ("s", lambda r: r.state)], empty="none")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["name", "s"]
    assert lines[2].split() == ["a", "yes"]
    assert lines[3] == long
    assert lines[4].split("  ")[0] == "[red]x[/]"
    assert lines[4].endswith("b, c")
    assert lines[5].split() == ["\N{REPLACEMENT CHARACTER}[2J", "0"]


@pytest.mark.parametrize(
    ("environments", "words", "end"), [(3, 3, "word"), (3, 50, "…"), (5, 50, "inherit"), (5, 0, "")]
)
def test_a_table_on_a_terminal_keeps_to_its_width(
    environments: int, words: int, end: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    row = Row("new_checkout_of_the_shop", "word " * words)
    columns: list[tables.Column] = [("flag", lambda r: r.name)]
    columns += [(f"env{n}", lambda _: "inherit") for n in range(environments)]
    tables.draw([row], [*columns, ("description", lambda r: r.state)], empty="")
    lines = terminal.getvalue().splitlines()
    assert len(lines) == 3
    assert max(map(len, lines)) <= 80
    assert lines[2].startswith("new_checkout_of_the_shop   inherit ")
    assert lines[2].rstrip().endswith(end)


@pytest.mark.parametrize(
    ("text", "room", "shown"),
    [
        ("a word", 6, "a word"),
        ("a word", 4, "a w…"),
        ("a word", 3, "a…"),
        ("結帳流程", 8, "結帳流程"),
        ("結帳流程", 7, "結帳流…"),
        ("結帳流程", 6, "結帳…"),
    ],
)
def test_cut(text: str, room: int, shown: str) -> None:
    assert tables.cut(text, room) == shown


@pytest.mark.parametrize("ways", ["its own", "one of the caller's"])
def test_a_table_that_is_too_wide(ways: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is cut off or broken: it can be copied."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "dumb")
    rows = [Row("0316cdeb-38b8-4ae2-a802-db68714c3238"), Row("x" * 50, "")]
    columns: list[tables.Column] = [("token", lambda r: r.name), ("", lambda _: "mine")]
    columns += [("state", lambda r: r.state), ("kind", lambda _: "a" * 30), ("n", lambda _: 1)]
    if ways == "its own":
        tables.draw(rows, columns, empty="")
        assert terminal.getvalue() == (
            "0316cdeb-38b8-4ae2-a802-db68714c3238\n"
            f"    mine · state on\n    kind {'a' * 30}\n    n 1\n"
            f"{'x' * 50}\n    mine\n    kind {'a' * 30}\n    n 1\n"
        )
        return
    asked: list[int] = []
    tables.draw(rows, columns, empty="", narrow=asked.append)
    assert (asked, terminal.getvalue()) == ([40], "")


def test_an_empty_table_is_talk(capsys: pytest.CaptureFixture[str]) -> None:
    tables.draw([], [("name", str)], empty="nothing here")
    assert capsys.readouterr() == ("", "nothing here\n")


def test_fields(capsys: pytest.CaptureFixture[str]) -> None:
    output.fields([("a", 1), ("long", ""), ("bb", False), ("c", None), ("d", [])])
    assert capsys.readouterr().out == "a   1\nbb  no\n"


def test_changes() -> None:
    assert output.changes({"a": 1, "b": {"c": [1]}}, {"a": 1, "b": {"c": []}, "d": "x"}) == [
        "b.c: [1] → []",
        'd: (none) → "x"',
    ]


def on_a_terminal(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(typed))
    monkeypatch.setattr(sys, "stderr", Terminal())


def test_colour_is_for_terminals_that_want_it(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = {}
    for wish in ("", "1"):
        monkeypatch.setenv("NO_COLOR", wish)
        terminal = Terminal()
        for stream in ("stdout", "stderr"):
            monkeypatch.setattr(sys, stream, terminal)
        output.warn("a")
        shown[wish] = terminal.getvalue()
    assert "\x1b[" in shown[""]
    assert shown["1"] == "warning: a\n"


def test_typing_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    output.ask_to_type("f", noun="flag", needed=False)
    on_a_terminal(monkeypatch, "f\n")
    output.ask_to_type("f", noun="flag", needed=True)
    for typed in ("g\n", " f\n", "\n", ""):
        on_a_terminal(monkeypatch, typed)
        with pytest.raises(typer.Abort):
            output.ask_to_type("f", noun="flag", needed=True)


def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO("f\n"))
    with pytest.raises(ConfirmationNeededError) as raised:
        output.ask_to_type("f", noun="flag", needed=True)
    assert raised.value.hint == "pass --yes to delete it"


@pytest.mark.parametrize(
    ("typed", "goes_on"),
    [("y\n", True), ("YES\n", True), ("\n", False), ("", False), ("n\n", False), ("yo\n", False)],
)
def test_confirm(monkeypatch: pytest.MonkeyPatch, *, typed: str, goes_on: bool) -> None:
    on_a_terminal(monkeypatch, typed)
    if goes_on:
        output.confirm("prod is protected")
        return
    with pytest.raises(typer.Abort):
        output.confirm("prod is protected")


def test_now_is_utc() -> None:
    assert output.plain(datetime(2026, 1, 1, tzinfo=UTC)) == "2026-01-01T00:00:00Z"
