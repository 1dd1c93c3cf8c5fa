"""The help: complete, true, and without the imports that only commands need."""

import re
import shlex
import subprocess
import sys

import pytest
from typer._click import Command, Context
from typer.testing import CliRunner

import core
from flagctl.catalog import ENTRIES
from flagctl.main import app
from flagctl.state import State
from tests.support.commands import commands, options, root

COMMANDS = dict(commands())
EVERYWHERE = {"--output", "--org", "--context", "--verbose"}
HEAVY = ("sqlalchemy", "psycopg", "redis", "jwt", "cryptography", "alembic", "rich", "jsonschema")


def first_line(command: Command) -> str:
    return (command.help or "").strip().splitlines()[0]


def test_there_are_commands() -> None:
    assert len(COMMANDS) > 40


@pytest.mark.parametrize("name", [name for name in ENTRIES if name in COMMANDS])
def test_the_table_says_what_the_command_says(name: str) -> None:
    assert ENTRIES[name][1] == first_line(COMMANDS[name])


@pytest.mark.parametrize("name", [name for name in ENTRIES if name not in COMMANDS])
def test_the_line_of_a_group_names_its_commands(name: str) -> None:
    inner = [full.split()[1] for full in COMMANDS if full.startswith(f"{name} ")]
    assert inner
    assert ENTRIES[name][1].endswith(f": {', '.join(inner)}.")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_has_help(name: str) -> None:
    command = COMMANDS[name]
    assert first_line(command).endswith(
        (".", "; exit 8 if not.", "; exit 8 if something is wrong.")
    )
    for parameter in command.params:
        assert getattr(parameter, "help", None) or name == "audit show", parameter.name


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_takes_the_global_options(name: str) -> None:
    opts = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert opts >= EVERYWHERE


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_can_be_shown(name: str) -> None:
    result = CliRunner().invoke(app, [*name.split(), "--help"])
    assert (result.exit_code, result.stderr) == (0, "")
    assert f"Usage: flagctl {name} " in result.stdout
    for option in options(COMMANDS[name]):
        assert option in result.stdout


WRITES = (
    *("set", "create", "update", "archive", "unarchive", "delete"),
    *("config define", "config set", "config unset", "config update", "config delete"),
    *("env create", "env update", "env delete", "key create", "key rotate", "key revoke"),
    *("member add", "member remove", "org update", "token revoke"),
)


@pytest.mark.parametrize("name", WRITES)
def test_every_write_takes_the_options_of_writes(name: str) -> None:
    assert options(COMMANDS[name]) >= {
        *("--reason", "--dry-run", "--if-revision", "--yes", "--wait", "--timeout")
    }


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]])
def test_the_main_help(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    for name, (_, text) in ENTRIES.items():
        assert f"  {name} " in result.stdout
        assert text in " ".join(result.stdout.split())
    assert root().name == "flagctl"


def test_the_version() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.stdout) == (0, f"flagctl {core.__version__}\n")


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["set", "--help"], ["sett"]])
def test_help_imports_little(arguments: list[str]) -> None:
    script = (
        "import sys, flagctl.main\n"
        "try:\n"
        f"    flagctl.main.app({arguments!r})\n"
        "except SystemExit:\n"
        f"    found = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "    raise SystemExit(f'imported {found}' if found else 0)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def examples(command: Command) -> list[list[str]]:
    """The words of what is typed first in each line of the last block of its help."""
    _, _, block = (command.help or "").rpartition("\b\n")
    lines = block.replace("\\\n", " ").strip().splitlines()
    typed = (re.search(r"""flagctl (?:'[^']*'|"[^"]*"|[^|&)'"])*""", line) for line in lines)
    return [shlex.split(found[0]) for found in typed if found]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_ends_with_an_example(name: str) -> None:
    """One of this command; and whatever is in it can be typed."""
    found = examples(COMMANDS[name])
    assert any(words[: len(name.split()) + 1] == ["flagctl", *name.split()] for words in found)
    for _, *words in found:
        command, context = root(), Context(root(), obj=State())
        while hasattr(command, "get_command") and words and not words[0].startswith("-"):
            command = command.get_command(context, words.pop(0))
        command.make_context("it", words, parent=context)
