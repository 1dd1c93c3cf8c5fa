"""flagctl context list, use, show; and its name in the questions that ask back."""

import json
from pathlib import Path

import pytest

from tests.support.command_lines import CommandLine
from tests.support.terminals import on_a_terminal


@pytest.fixture
def user_file(home: Path, stable: CommandLine) -> Path:
    """One's own settings with two contexts: `live` is this installation, `away` is nowhere."""
    path = home / "XDG_CONFIG_HOME" / "flagctl" / "config.toml"
    path.parent.mkdir(parents=True)
    address, token = (stable.environ[f"FLAGCTL_{n}"] for n in ("DATABASE_URL", "TOKEN"))
    path.write_text(
        "# mine\n"
        f"[contexts.live]\ndatabase_url = {json.dumps(address)}\ntoken = {json.dumps(token)}\n"
        "[contexts.away]\n"
        'database_url = "postgresql://ann:topsecret@example.com:1/x?password=topsecret"\n'
        'redis_url = "redis://:topsecret@127.0.0.1:7000/0"\ntoken = "topsecret"\nenv = "prod"\n'
    )
    return path


@pytest.fixture
def mine(stable: CommandLine) -> CommandLine:
    """With nothing in the environment."""
    return CommandLine(stable.installation, {})


def test_use_and_list(mine: CommandLine, user_file: Path) -> None:
    assert [c["in_use"] for c in mine.json("context", "list")] == [False, False]
    assert mine.ok("context", "use", "live") == f"the context is live · {user_file}\n"
    assert user_file.read_text().startswith('context = "live"\n# mine\n[contexts.live]\n')
    assert mine.ok("list")
    assert mine.ok("context", "use", "live") == "the context was already live\n"
    rows = [line.split()[:2] for line in mine.ok("context", "list").splitlines()]
    assert rows[2:] == [["*", "live"], ["away", "database_url,"]]
    assert mine.json("context", "use", "away") == {
        "context": "away",
        "changed": True,
        "files": [str(user_file)],
    }
    ran = mine.run("context", "use", "live", FLAGCTL_CONTEXT="away")
    assert (ran.code, ran.stderr) == (0, "warning: FLAGCTL_CONTEXT is set, and comes first: away\n")
    assert mine.fails(5, "context", "use", "lve").endswith("hint: did you mean live?\n")


def test_the_projects_file_is_written_where_the_context_is_there(
    mine: CommandLine, user_file: Path, home: Path
) -> None:
    folder = home / "work" / ".flagctl"
    folder.mkdir(mode=0o700)
    project = folder / "config.toml"
    project.write_text('[contexts.local]\nenv = "dev"\n')
    before = user_file.read_text()
    assert mine.json("context", "use", "local")["files"] == [str(project)]
    assert user_file.read_text() == before
    assert mine.json("context", "show")["settings"] == [
        {"name": "env", "value": "dev", "source": f"{project} (context local)"}
    ]
    project.chmod(0o666)
    ran = mine.run("context", "list")
    assert "local" not in ran.stdout
    assert "was not read" in ran.stderr


def test_the_way_out_of_a_context_that_is_gone(mine: CommandLine, user_file: Path) -> None:
    user_file.write_text(f'context = "gone"\n{user_file.read_text()}')
    assert "there is no context 'gone' in it" in mine.fails(2, "list")
    assert "live" in mine.ok("context", "list")
    assert mine.ok("context", "use", "live").startswith("the context is live · ")
    assert mine.ok("list")


def test_no_secret_is_shown(mine: CommandLine, user_file: Path) -> None:
    for arguments in (["show", "away"], ["show", "--context", "away"]):
        document = mine.json("context", *arguments)
        assert document["context"] == "away"
        assert {row["name"]: row["value"] for row in document["settings"]} == {
            "database_url": "postgresql://example.com:1",
            "env": "prod",
            "redis_url": "redis://127.0.0.1:7000",
            "token": "(set)",
        }
    assert "topsecret" not in mine.ok("context", "show", "away") + mine.ok("context", "list")
    odd = "postgresql://ann:1/topsecret@h/x"
    shown = mine.json("context", "show", FLAGCTL_DATABASE_URL=odd)["settings"]
    assert shown == [{"name": "database_url", "value": "(set)", "source": "the environment"}]


def test_without_any(mine: CommandLine) -> None:
    assert mine.run("context", "list").stderr.startswith("no contexts; they are tables")
    assert mine.json("context", "show") == {"context": None, "settings": []}
    assert "there is no context 'x'" in mine.fails(5, "context", "use", "x")
    assert "there is no context 'x'" in mine.fails(5, "context", "show", "x")


def test_questions_name_the_context(
    stable: CommandLine, mine: CommandLine, user_file: Path, home: Path
) -> None:
    stable.ok("env", "create", "vault", "--confirm")
    mine.ok("context", "use", "live")
    environ = {"XDG_CONFIG_HOME": str(home / "XDG_CONFIG_HOME"), "HOME": str(home)}
    protected = ("set", "new_checkout", "--env", "vault")
    ran = on_a_terminal(*protected, environ=environ, folder=home, answers=("no",))
    assert "vault is protected (context live).\nGo on? [y/N]: " in ran.stderr
    ran = on_a_terminal("delete", "new_checkout", environ=environ, folder=home, answers=("no",))
    assert ran.stderr.startswith("Type new_checkout to delete it (context live): ")
    assert stable.ok("show", "new_checkout")
