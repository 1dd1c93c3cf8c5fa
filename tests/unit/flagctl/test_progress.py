"""Bars: on a terminal, after a moment, and gone at the end."""

import io
import sys
from contextlib import suppress

import pytest

from flagctl import progress
from tests.support.waiting import eventually


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    made = Terminal()
    monkeypatch.setattr(sys, "stderr", made)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return made


def test_what_takes_long_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    monkeypatch.setattr(progress, "MOMENT_SECONDS", 0.001)
    with progress.bar("upgrading") as bar:
        eventually(lambda: "upgrading" in terminal.getvalue(), "the bar is drawn")
        assert "0/?" in terminal.getvalue()
        bar.at(2, what="0003 [red] begin", total=6)
        eventually(lambda: "2/6" in terminal.getvalue(), "it goes on")
        assert "0003 [red] begin" in terminal.getvalue()
    said = terminal.getvalue()
    assert said.endswith("\x1b[2K")  # the line is empty again
    assert said.count("\x1b[?25l") == said.count("\x1b[?25h") == 1  # and the cursor is back
    assert sys.stderr is terminal


def test_items_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    monkeypatch.setattr(progress, "MOMENT_SECONDS", 0)
    monkeypatch.setattr(progress, "_PAUSE_SECONDS", 0)
    seen = []
    for item in progress.over(iter("abcdef"), "evaluating", total=6):
        seen.append(item)
        done = f"{len(seen) - 1}/6"
        eventually(lambda done=done: done in terminal.getvalue(), done)  # type: ignore[misc]
    assert seen == list("abcdef")


def test_what_is_quick_never_flickers(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    assert list(progress.over(range(1000), "evaluating", total=1000)) == list(range(1000))
    assert terminal.getvalue() == ""


def test_what_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    with suppress(ValueError), progress.bar("upgrading") as bar:
        bar.draw()
        raise ValueError
    assert terminal.getvalue().endswith("\x1b[2K")
    bar.draw()  # the timer's thread was late
    assert terminal.getvalue().endswith("\x1b[2K")


def test_without_a_terminal_there_is_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "MOMENT_SECONDS", 0)
    monkeypatch.setattr("threading.Timer", None)
    assert list(progress.over([1, 2], "evaluating")) == [1, 2]
    assert capsys.readouterr() == ("", "")
