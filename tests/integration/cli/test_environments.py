"""flagctl env create, list, show, update, delete; and what --confirm protects."""

import os
from pathlib import Path

import pytest

from tests.support.command_lines import CommandLine
from tests.support.terminals import on_a_terminal


def test_create(cli: CommandLine) -> None:
    assert cli.ok("env", "create", "qa", "-d", "For testers") == (
        "created qa · revision 2 of qa, audit 5\n"
    )
    assert cli.fails(6, "env", "create", "qa") == "error: the environment 'qa' exists already\n"


@pytest.mark.parametrize("key", ["", "QA", "a b", "a.b", "-a", "x" * 65, "é", "a\x1b"])
def test_bad_names(stable: CommandLine, key: str) -> None:
    said = stable.fails(2, "env", "create", "--", key)
    assert "is not a valid environment key\nhint: lower-case words joined by _ or -" in said


def test_list_and_show(cli: CommandLine) -> None:
    assert [line.split() for line in cli.ok("env", "list").splitlines()[2:]] == [
        [name, "1", "no", "0", "0", "0"] for name in ("dev", "staging", "prod")
    ]
    fields = [
        *("key", "id", "revision", "confirm", "description"),
        *("overrides", "config_values", "api_keys", "created_at"),
    ]
    assert [list(environment) for environment in cli.json("env", "list")] == [fields] * 3
    assert cli.json("env", "show", "prod") == cli.json("env", "list")[2]
    assert "environment    prod\n" in cli.ok("env", "show", "prod")
    assert "did you mean prod?" in cli.fails(5, "env", "show", "prd")


def test_delete(cli: CommandLine) -> None:
    cli.ok("env", "create", "qa")
    cli.ok("create", "f")
    cli.ok("set", "f", "--env", "qa")
    assert cli.fails(2, "env", "delete", "qa") == (
        "error: deleting the environment 'qa' needs a word\nhint: pass --yes to delete it\n"
    )
    cli.ok("env", "delete", "qa", "--yes")
    assert [e["key"] for e in cli.json("env", "list")] == ["dev", "staging", "prod"]
    deleted = cli.json("audit", "list", "--action", "delete", "--entity-type", "environment")
    assert deleted[0]["entity_key"] == "qa"


@pytest.fixture
def protected(cli: CommandLine) -> CommandLine:
    """Where prod asks back; with a flag, a config and a key in it."""
    cli.ok("create", "f")
    cli.ok("config", "define", "c", "--type", "integer")
    cli.ok("config", "set", "c", "1", "--env", "prod")
    cli.run("key", "create", "web", "--env", "prod")
    cli.ok("env", "update", "prod", "--confirm")
    return cli


@pytest.mark.parametrize(
    "arguments",
    [
        ["set", "f", "--env", "prod"],
        ["config", "set", "c", "2", "--env", "prod"],
        ["config", "unset", "c", "--env", "prod"],
        ["key", "rotate", "web", "--env", "prod", "--overlap", "0s"],
        ["key", "revoke", "web", "--env", "prod"],
        ["archive", "f"],
        ["env", "update", "prod", "--no-confirm"],
    ],
)
def test_writes_to_a_protected_environment_need_a_yes(
    protected: CommandLine, arguments: list[str]
) -> None:
    said = protected.fails(2, *arguments)
    assert said.endswith("hint: pass --yes to do it all the same\n")
    assert protected.run(*arguments, "-o", "json").error()["code"] == "confirmation_needed"
    assert protected.run(*arguments, "--dry-run").code == 0
    assert protected.run(*arguments, "--yes").code == 0


def test_others_do_not_ask(protected: CommandLine) -> None:
    protected.ok("set", "f", "--env", "dev")
    assert protected.ok("set", "f", "inherit", "--env", "prod") == (
        "f was already inherited (off) in prod\n"
    )


@pytest.mark.parametrize(("answer", "code", "state"), [("y", 0, "on"), ("n", 1, "off")])
def test_a_terminal_is_asked(
    protected: CommandLine, tmp_path: Path, answer: str, code: int, state: str
) -> None:
    ran = on_a_terminal(
        *("set", "f", "--env", "prod"),
        environ={**os.environ, **protected.environ},
        folder=tmp_path,
        answers=(answer,),
    )
    assert ran.code == code, ran
    assert ran.stderr.startswith("prod is protected.\nGo on? [y/N]: ")
    assert ran.stdout == ("f is on in prod · revision 5 of prod, audit 10\n" if code == 0 else "")
    assert ("stopped; nothing was changed" in ran.stderr) == (code == 1)
    assert protected.json("list")[0]["states"]["prod"] == state


@pytest.mark.parametrize(
    ("arguments", "typed", "code"),
    [
        (["delete", "f"], "f", 0),
        (["delete", "f"], "g", 1),
        (["config", "delete", "c"], "c", 0),
        (["env", "delete", "staging"], "staging", 0),
    ],
)
def test_on_a_terminal_what_goes_is_typed(
    protected: CommandLine, tmp_path: Path, arguments: list[str], typed: str, code: int
) -> None:
    last = protected.installation.last_event()
    ran = on_a_terminal(
        *arguments, environ={**os.environ, **protected.environ}, folder=tmp_path, answers=(typed,)
    )
    assert ran.code == code, ran
    assert ran.stderr.startswith(f"Type {arguments[-1]} to delete it: ")
    assert (protected.installation.last_event() > last) == (code == 0)


def test_a_filled_environment_asks_twice(protected: CommandLine, tmp_path: Path) -> None:
    ran = on_a_terminal(
        *("env", "delete", "prod"),
        environ={**os.environ, **protected.environ},
        folder=tmp_path,
        answers=("prod", "y"),
    )
    assert ran.code == 0, ran
    assert "prod still has 1 config values, 1 API keys.\nGo on? [y/N]: " in ran.stderr
