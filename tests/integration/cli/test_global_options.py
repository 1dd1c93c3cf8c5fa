"""What all commands share: -o, --org, -v, --context, help, errors, settings."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.support.command_lines import CommandLine


@pytest.mark.parametrize(
    "arguments",
    [
        ["-o", "json", "env", "list"],
        ["env", "-o", "json", "list"],
        ["env", "list", "-o", "json"],
        ["env", "list", "-ojson"],
        ["--output=json", "env", "list"],
        ["-o", "table", "env", "list", "-o", "json"],
        ["-v", "--org", "default", "env", "list", "-o", "json", "--org", "default", "-v"],
    ],
)
def test_global_options_stand_anywhere(stable: CommandLine, arguments: list[str]) -> None:
    assert [e["key"] for e in json.loads(stable.ok(*arguments))] == ["dev", "staging", "prod"]


def test_the_same_document_as_yaml(stable: CommandLine) -> None:
    reads = (["list"], ["env", "list"], ["whoami"], ["audit", "list"], ["db", "status"])
    writes = (
        ["create", "f", "--dry-run"],
        ["key", "create", "web", "--env", "dev", "--dry-run"],
    )
    for command in reads:
        assert yaml.safe_load(stable.ok(*command, "-o", "yaml")) == stable.json(*command)
    for command in writes:
        assert yaml.safe_load(stable.ok(*command, "-o", "yaml"))["dry_run"]


def test_the_output_has_a_default(stable: CommandLine) -> None:
    assert json.loads(stable.ok("whoami", FLAGCTL_OUTPUT="json"))
    assert stable.ok("whoami", "-o", "table", FLAGCTL_OUTPUT="json").startswith("you are")
    assert stable.run("show", "x", FLAGCTL_OUTPUT="json").error()["code"] == "not_found"
    assert stable.fails(5, "show", "x", "--output", "table", FLAGCTL_OUTPUT="json").startswith(
        "error: "
    )


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (["show", "new_chekout"], 5, "not_found"),
        (["create", "new_checkout"], 6, "conflict"),
        (["create", "NEW"], 2, "invalid_input"),
        (["delete", "new_checkout"], 2, "confirmation_needed"),
        (["creat", "x"], 2, "usage"),
        (["create", "--nope"], 2, "usage"),
        (["whoami", "--org", "nope"], 4, "forbidden"),
    ],
)
def test_errors_as_json(stable: CommandLine, arguments: list[str], code: int, kind: str) -> None:
    for order in ([*arguments, "-o", "json"], ["-o", "json", *arguments]):
        ran = stable.run(*order)
        assert (ran.code, ran.stdout, ran.error()["code"]) == (code, "", kind)
        assert ran.error()["message"]


def test_words_of_others_do_not_ask_for_json(stable: CommandLine) -> None:
    said = stable.fails(6, "create", "new_checkout", "--description", "-o json")
    assert said.startswith("error: ")


def test_a_format_that_is_none(stable: CommandLine) -> None:
    assert "'xml' is not one of table, json, yaml." in stable.fails(2, "list", "-o", "xml")
    assert "output in the environment" in stable.fails(2, "list", FLAGCTL_OUTPUT="xml")


def test_all_faults_of_the_settings_at_once(stable: CommandLine) -> None:
    said = stable.fails(
        2, "list", FLAGCTL_REDIS_URL="http://x", FLAGCTL_CHECK_INTERVAL="soon", FLAGCTL_LISTEN="x"
    )
    for name in ("redis_url", "check_interval", "listen"):
        assert f"{name} in the environment: it " in said


@pytest.mark.parametrize("missing", ["FLAGCTL_DATABASE_URL", "FLAGCTL_OWNER_DATABASE_URL"])
def test_a_missing_address_is_named(stable: CommandLine, missing: str) -> None:
    command = ["list"] if missing == "FLAGCTL_DATABASE_URL" else ["db", "status"]
    said = stable.fails(2, *command, **{missing: ""})
    assert said.startswith(f"error: {missing} is not set\nhint: set it, or put ")


@pytest.fixture
def project(stable: CommandLine, home: Path) -> Callable[[dict[str, str]], CommandLine]:
    """Writes `.flagctl/config.toml` here; the settings are then in it, not in the environment."""

    def write(contexts: dict[str, str]) -> CommandLine:
        names = ("database_url", "token")
        values = {name: stable.environ[f"FLAGCTL_{name.upper()}"] for name in names}
        folder = home / "work" / ".flagctl"
        folder.mkdir(mode=0o700)
        lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
        lines += [f"[contexts.{name}]\nenv = '{env}'" for name, env in contexts.items()]
        (folder / "config.toml").write_text("\n".join(lines))
        return CommandLine(stable.installation, {})

    return write


def test_settings_from_a_project_file(
    project: Callable[[dict[str, str]], CommandLine], home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli = project({"live": "prod", "test": "staging"})
    below = home / "work" / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    for order in (["--context", "live", "list"], ["list", "--context", "live"]):
        assert cli.ok(*order)
    assert cli.json("set", "new_checkout", "--dry-run", "--context", "test")["environment"] == (
        "staging"
    )
    assert "no environment is named" in cli.fails(2, "set", "new_checkout")
    assert "there is no context 'lve'" in cli.fails(5, "list", "--context", "lve")


def test_a_foreign_file_gets_no_token(
    project: Callable[[dict[str, str]], CommandLine], home: Path
) -> None:
    cli = project({})
    token = cli.installation.token.reveal()
    path = home / "work" / ".flagctl" / "config.toml"
    said = cli.fails(3, "list", FLAGCTL_TOKEN=token)
    assert f"the token comes from the environment, the database address from {path}" in said
    path.chmod(0o666)
    ran = cli.run("list", FLAGCTL_TOKEN=token)
    assert ran.code == 2
    assert f"warning: {path} was not read: it or its folder is not yours alone" in ran.stderr


def flagctl(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "flagctl", *arguments],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


def test_bytes_that_are_no_text(stable: CommandLine) -> None:
    arguments = ["list", "--match", "\udcff"]
    ran = flagctl(*arguments, **stable.environ)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "error: '\\udcff' is not valid UTF-8 text\n"


def test_a_pipe_that_closes_early(stable: CommandLine) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [sys.executable, "-m", "flagctl", "env", "list"],
        env={**os.environ, **stable.environ},
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_terminal_without_unicode(stable: CommandLine) -> None:
    latin = {**stable.environ, "PYTHONIOENCODING": "latin-1"}
    ran = flagctl("set", "new_checkout", "--env", "dev", "--dry-run", **latin)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "enabled: null \\u2192 true" in ran.stdout
    ran = flagctl("set", "new_checkout", "--env", "dev", "--dry-run", "-o", "json", **latin)
    assert json.loads(ran.stdout)["changed"]


def test_nothing_is_coloured_in_a_pipe(stable: CommandLine) -> None:
    for command in (["list"], ["whoami"], ["nope"]):
        ran = stable.run(*command)
        assert "\x1b" not in ran.stdout + ran.stderr
