"""Columns to compare, in blocks that the terminal has room for."""

import io
import sys
from itertools import groupby

import pytest

from flagctl.side_by_side import side_by_side


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def shown(names: list[str]) -> None:
    rows = [("state", lambda _: "inherit"), ("rules", lambda _: ""), ("length", len)]
    side_by_side(names, ("name", str), rows, empty="nothing here")


def blocks(text: str) -> list[list[str]]:
    lines = [line.rstrip() for line in text.splitlines()]
    return [list(block) for some, block in groupby(lines, key=bool) if some]


@pytest.mark.parametrize("count", [1, 12, 200])
def test_a_pipe_has_one_block(count: int, capsys: pytest.CaptureFixture[str]) -> None:
    shown([f"env-{n}" for n in range(count)])
    ((heads, _, *rows),) = blocks(capsys.readouterr().out)
    assert heads.split() == ["name", *(f"env-{n}" for n in range(count))]
    assert [(row.split()[0], len(row.split()) - 1) for row in rows] == [
        ("state", count),
        ("length", count),
    ]


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["prod"], [1]),
        ([f"env-{n}" for n in range(12)], [7, 5]),
        (["a", "x" * 70, "b", "c"], [1, 1, 2]),
        (["x" * 71], [1]),
    ],
)
def test_a_terminal_has_as_many_as_it_needs(
    names: list[str], expected: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "dumb")
    shown(names)
    found = blocks(terminal.getvalue())
    assert [len(block[-1].split()) - 1 for block in found] == expected
    assert max(len(line) for block in found for line in block) <= 80


def test_nothing_to_compare(capsys: pytest.CaptureFixture[str]) -> None:
    shown([])
    assert capsys.readouterr() == ("", "nothing here\n")
