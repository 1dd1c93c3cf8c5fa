"""Completion by the real program, asked the way each shell asks: an answer at once, or silence."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from core.queries import completion as queries
from core.settings import Secret
from flagctl import completion
from tests.support.command_lines import CommandLine
from tests.support.installations import Cluster

# A busy machine may take its time here; what a user waits for is a benchmark's matter.
PATIENT = "import flagctl.completion as c, flagctl.main as m; c.PATIENCE_SECONDS = 30; m.run()"


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[CommandLine]:
    """With a few keys, one of them archived and one that a shell would run."""
    with cluster.installation() as installation:
        made = CommandLine(installation, installation.environ())
        for key in ("new_checkout", "new_search", "dark_mode", "new_old"):
            made.ok("create", key)
        made.ok("archive", "new_old")
        made.ok("segment", "create", "beta", "--if", "true")
        made.ok("config", "define", "new_timeout", "--type", "integer")
        installation.govern("UPDATE flagctl.flags SET key = 'new_$(id)' WHERE key = 'new_search'")
        made.ok("create", "new_search")
        made.ok("org", "create", "acme", "--admin", installation.admin_email)
        yield made


def shells(line: str) -> dict[str, dict[str, str]]:
    """How each shell asks, for a line with the cursor at its end."""
    words = line.split(" ")
    bash = {"COMP_WORDS": "\n".join(words), "COMP_CWORD": str(len(words) - 1)}
    fish = {"_TYPER_COMPLETE_ARGS": line, "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    return {"bash": bash, "zsh": {"_TYPER_COMPLETE_ARGS": line}, "fish": fish}


def complete(line: str, environ: Mapping[str, str], shell: str = "bash", **more: str) -> str:
    """What the program prints. It says nothing else, and ends well."""
    asked = {"_FLAGCTL_COMPLETE": f"complete_{shell}", **shells(line)[shell], **more}
    ran = subprocess.run(
        [sys.executable, "-W", "always", "-c", PATIENT],
        env={**os.environ, **environ, **asked},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


@pytest.mark.parametrize(
    ("shell", "answer"),
    [
        ("bash", "new_checkout\nnew_search\n"),
        ("zsh", '_arguments \'*: :(("new_checkout"\n"new_search"))\'\n'),
        ("fish", "new_checkout\nnew_search\n"),
    ],
)
def test_flag_keys_in_each_shell(shop: CommandLine, shell: str, answer: str) -> None:
    assert complete("flagctl -o json set new_", shop.environ, shell) == answer


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ("flagctl show d", ["dark_mode"]),
        ("flagctl unarchive ", ["new_old"]),
        ("flagctl config get new", ["new_timeout"]),
        ("flagctl set new_checkout i", ["inherit"]),
        ("flagctl set new_checkout --env ", ["dev", "prod", "staging"]),
        ("flagctl list -e st", ["staging"]),
        ("flagctl env show p", ["prod"]),
        ("flagctl --org acme show n", []),
        ("flagctl segment show b", ["beta"]),
        ("flagctl rule add d", ["dark_mode"]),
        ("flagctl create new_", []),
        ("flagctl show zzz", []),
        ("flagctl usage d", ["dark_mode"]),
        ("flagctl stale --env dev -e st", ["staging"]),
        ("flagctl se", ["set", "segment", "serve"]),
    ],
)
def test_what_is_completed(
    shop: CommandLine, line: str, answer: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(completion, "PATIENCE_SECONDS", 30)
    asked = {"_FLAGCTL_COMPLETE": "complete_bash", **shells(line)["bash"]}
    assert shop.ok(**asked).split() == answer


def test_an_equals_sign(shop: CommandLine) -> None:
    """bash makes words of it; the others complete the whole word."""
    words = {"COMP_WORDS": "flagctl\nlist\n--env\n=\npr", "COMP_CWORD": "4"}
    assert complete("", shop.environ, **words) == "prod\n"
    assert complete("flagctl list --env=pr", shop.environ, "fish") == "--env=prod\n"
    assert '"--env=prod"' in complete("flagctl list --env=pr", shop.environ, "zsh")


def test_bash_itself(shop: CommandLine, tmp_path: Path) -> None:
    """With the function that `--install-completion` installs."""
    script = subprocess.run(
        [sys.executable, "-m", "flagctl", "--show-completion", "bash"],
        env={**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    program = tmp_path / "flagctl"
    program.write_text(f"#!{sys.executable}\n{PATIENT}\n")
    program.chmod(0o755)
    asked = "COMP_WORDS=(flagctl set new_c); COMP_CWORD=2; _flagctl_completion flagctl"
    ran = subprocess.run(
        ["bash", "--norc", "-c", f"{script}\n{asked}\necho ${{COMPREPLY[@]}}"],
        env={**os.environ, **shop.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert (ran.stdout, ran.stderr) == ("new_checkout\n", "")


def test_contexts(shop: CommandLine, home: Path) -> None:
    path = home / "XDG_CONFIG_HOME" / "flagctl" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text("[contexts.live]\n[contexts.local]\n[contexts.'$(id)']\n")
    assert complete("flagctl context use lo", {}) == "local\n"
    assert complete("flagctl list --context ", {}).split() == ["live", "local"]


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_silence_when_postgres_is_away(shop: CommandLine, shell: str) -> None:
    away = {**shop.environ, "FLAGCTL_DATABASE_URL": "postgresql://ann:x@127.0.0.1:1/x"}
    action = {"_TYPER_COMPLETE_FISH_ACTION": "is-args"} if shell == "fish" else {}
    assert complete("flagctl set new_", away, shell, **action) == ""


def test_silence_when_postgres_hangs(
    shop: CommandLine, deaf: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the patience of the program itself: libpq would wait for two seconds."""
    monkeypatch.setattr(
        "tests.integration.cli.test_completion.PATIENT", "import flagctl.main as m; m.run()"
    )
    hangs = {**shop.environ, "FLAGCTL_DATABASE_URL": f"postgresql://ann:x@127.0.0.1:{deaf}/x"}
    began = time.monotonic()
    assert complete("flagctl se", hangs).split() == ["set", "segment", "serve"]
    start = time.monotonic() - began
    assert complete("flagctl set new_", hangs) == ""
    assert time.monotonic() - began - start < start + 1.5


@pytest.mark.parametrize(
    "change",
    [
        {"FLAGCTL_TOKEN": ""},
        {"FLAGCTL_TOKEN": "nonsense"},
        {"FLAGCTL_DATABASE_URL": "mysql://x"},
        {"FLAGCTL_DATABASE_URL": "postgresql://ann@nowhere.invalid/x"},
        {"FLAGCTL_CONTEXT": "nope"},
        {"COMP_CWORD": "x"},
    ],
)
def test_silence_whatever_is_wrong(shop: CommandLine, change: dict[str, str]) -> None:
    assert complete("flagctl set new_", shop.environ, **change) == ""


def test_a_folder_that_is_not_private_is_not_warned_of(shop: CommandLine, home: Path) -> None:
    folder = home / "work" / ".flagctl"
    folder.mkdir(mode=0o700)
    (folder / "config.toml").write_text("env = 'dev'")
    (folder / "config.toml").chmod(0o666)
    assert complete("flagctl set new_c", shop.environ) == "new_checkout\n"


def test_a_name_is_looked_up_before_libpq_does(shop: CommandLine) -> None:
    assert queries._resolved({"host": "/tmp"}) == {"host": "/tmp"}
    assert queries._resolved({"host": "127.0.0.1,127.0.0.2"})["hostaddr"] == "127.0.0.1,127.0.0.2"
    token = Secret(shop.environ["FLAGCTL_TOKEN"])
    url = Secret(shop.environ["FLAGCTL_DATABASE_URL"])
    assert queries.keys(url, token, "environment", "p", organization="default") == ["prod"]
