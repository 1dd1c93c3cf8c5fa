"""Whatever is typed, flagctl answers with an exit code of its own and never with a traceback."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from flagctl.main import app
from tests.support.commands import commands, loaded_once

# What would run for ever, or write into somebody's shell.
_LEFT_OUT = {"dev", "serve"}
COMMANDS = {name: command for name, command in commands() if name not in _LEFT_OUT}
WORDS = ("", "-", "--", "on", "prod", "0", "-1", "1e400", "9" * 400, "null", "{", "[" * 2000)
ODD = ("é", "\x00", "\x1b[2J", "\ud800", "a=b", "=", "%s", "{0}", "~", "/", "../..", "\u202e")
TEXTS = st.one_of(st.sampled_from(WORDS + ODD), st.text(max_size=8))


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command with words, its own options among them, in any order."""
    name = draw(st.sampled_from(sorted(COMMANDS)))
    known = sorted({o for p in COMMANDS[name].params for o in p.opts if o.startswith("-")})
    option = st.sampled_from(known)
    joined = st.builds("{}={}".format, option, TEXTS)
    words = draw(st.lists(st.one_of(TEXTS, option, joined), max_size=7))
    before = draw(st.lists(st.sampled_from(["-v", "-o", "json", "yaml", "--org=x"]), max_size=2))
    return [*before, *name.split(), *words]


@pytest.fixture(autouse=True)
def _away_from_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))


def run(arguments: list[str], **environ: str) -> None:
    with loaded_once():
        result = CliRunner().invoke(app, arguments, input="", env=environ)
    assert result.exit_code in range(10), arguments
    assert result.exit_code != 1, (arguments, result.stderr)
    assert isinstance(result.exception, SystemExit | None), arguments
    assert "Traceback" not in result.stdout + result.stderr, arguments


@given(command_lines())
@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(["set", "x", "--if-revision", "9" * 400])
@example(["audit", "show", "\u0663"])
def test_without_settings(arguments: list[str]) -> None:
    run(arguments)


@given(command_lines())
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_with_settings_of_a_place_that_is_away(arguments: list[str]) -> None:
    """Further into each command: there is a token, and an address that cannot be read."""
    away = "postgresql://ann:x@h@h/x"
    run(
        arguments,
        FLAGCTL_DATABASE_URL=away,
        FLAGCTL_OWNER_DATABASE_URL=away,
        FLAGCTL_TOKEN="a.b.c",
        FLAGCTL_ENV="dev",
    )


@given(command_lines(), st.sampled_from(["bash", "zsh", "fish"]))
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_completion_of_half_a_line(arguments: list[str], shell: str) -> None:
    """It has no settings here: names of commands and options, or silence."""
    words = [
        "flagctl",
        *(word.replace("\x00", "").encode(errors="ignore").decode() for word in arguments),
    ]
    asked = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    asked |= {"_FLAGCTL_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": " ".join(words)}
    asked |= {"_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    with loaded_once():
        result = CliRunner().invoke(app, [], env=asked)
    assert (result.exit_code, result.stderr) == (0, ""), words
