"""flagctl can-i, who-can."""

import pytest

from tests.support.command_lines import CommandLine


@pytest.fixture
def editor(cli: CommandLine) -> CommandLine:
    """An editor of dev alone."""
    return cli.as_(cli.installation.token_for("editor", "dev", email="ed@example.com"))


def test_yes(cli: CommandLine, editor: CommandLine) -> None:
    assert cli.ok("can-i", "member", "add") == "yes\n"
    assert editor.ok("can-i", "set", "--env", "dev") == "yes\n"
    assert editor.ok("can-i", "config set", FLAGCTL_ENV="dev") == "yes\n"
    assert editor.ok("can-i", "list") == "yes\n"


def test_no(editor: CommandLine) -> None:
    assert editor.fails(8, "can-i", "set", "--env", "prod") == (
        "error: no: ed@example.com needs editor or admin in prod\n"
    )
    assert editor.fails(8, "can-i", "create") == (
        "error: no: ed@example.com needs editor or admin in every environment\n"
    )
    assert "needs admin for the whole organization" in editor.fails(8, "can-i", "member", "add")


def test_as_json(cli: CommandLine, editor: CommandLine) -> None:
    assert cli.json("can-i", "key", "create", "-e", "prod") == {
        "action": "key create",
        "environment": "prod",
        "allowed": True,
        "needs": "admin in prod",
    }
    ran = editor.run("can-i", "key", "create", "-e", "prod", "-o", "json")
    assert (ran.code, ran.json()["allowed"]) == (8, False)


def test_what_is_no_action(cli: CommandLine) -> None:
    assert "did you mean create or" in cli.fails(2, "can-i", "creat")
    assert "actions are list, show" in cli.fails(2, "who-can", "fly")
    assert "no environment is named" in cli.fails(2, "can-i", "set")
    assert "did you mean prod?" in cli.fails(5, "can-i", "set", "-e", "prd")


def test_who_can(cli: CommandLine, editor: CommandLine) -> None:
    def members(*words: str) -> list[str]:
        return [holder["member"] for holder in cli.json("who-can", *words)]

    assert members("set", "--env", "dev") == ["admin@example.com", "ed@example.com"]
    assert members("set", "--env", "prod") == ["admin@example.com"]
    assert members("list") == ["admin@example.com", "ed@example.com"]
    assert editor.ok("who-can", "set", "-e", "dev").splitlines()[-1].split() == [
        *("ed@example.com", "editor", "in", "dev")
    ]
