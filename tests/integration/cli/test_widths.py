"""Every list on a terminal of eighty letters: no line is longer, and no key is broken."""

from itertools import pairwise

import pytest

from flagctl import output
from tests.support.command_lines import CommandLine
from tests.support.commands import commands
from tests.support.installations import Installation

# What the lists without an argument need besides.
_MORE = {"rule list": ["theme", "--env", "dev"], "key list": ["--env", "dev"]}
LISTS = [name for name, _ in commands() if name.split()[-1] == "list"]


@pytest.fixture(scope="module")
def full(seeded: Installation) -> CommandLine:
    return CommandLine(seeded, seeded.environ())


def test_every_list(full: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(LISTS) > 10
    for name in LISTS:
        words = [*name.split(), *_MORE.get(name, [])]
        whole = full.run(*words)
        for width in (80, 40):
            with monkeypatch.context() as patch:
                patch.setattr(output, "width", lambda width=width: width)
                shown = full.run(*words)
            assert (shown.code, shown.stderr) == (0, whole.stderr), name
            lines = shown.stdout.splitlines()
            first = {line.split()[0] for line in whole.stdout.splitlines()[2:]}
            assert first <= {word for line in lines for word in line.split()}, name
            # The address of an issuer is left whole, to be copied.
            long = [line for line in lines if len(line) > 80 and "urn:flagctl:" not in line]
            assert not long, name


def test_a_flag_in_many_environments(full: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "width", lambda: 40)
    blocks = full.ok("show", "theme").split("environment ")[1:]
    heads = [block.splitlines()[0].split() for block in blocks]
    assert [name for head in heads for name in head] == ["dev", "staging", "prod", "locked"]
    assert len(blocks) == 2
    for before, after in pairwise(blocks):
        assert before.endswith("\n\n")
        assert "serves" in before
        assert "serves" in after
