"""flagctl token issue, list, revoke; and what a token that is no good is told."""

import os
from pathlib import Path

import pytest

from core.services.key_files import KeyFile
from core.settings import Secret
from tests.support.command_lines import CommandLine
from tests.support.terminals import on_a_terminal


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """Where the signing key lies, and with a second member."""
    cli.ok("member", "add", "bob@example.com", "--role", "editor")
    settings = {**cli.environ, "FLAGCTL_KEY_FOLDER": str(cli.installation.key_folder)}
    return CommandLine(cli.installation, settings)


def test_issue_prints_the_token_alone(cli: CommandLine) -> None:
    ran = cli.run("token", "issue", "bob@example.com", "--ttl", "1h")
    assert (ran.code, ran.stdout.count("\n")) == (0, 1)
    assert ran.stderr.startswith("a token for bob@example.com until ")
    assert ran.stderr.endswith("; it is not shown again:\n")
    bob = cli.as_(Secret(ran.stdout.strip()))
    assert bob.json("whoami")["actor"] == "bob@example.com"


def test_issue_as_json(cli: CommandLine) -> None:
    issued = cli.json("token", "issue", "bob@example.com")
    assert list(issued)[:4] == ["id", "token", "email", "expires_at"]
    assert cli.json("audit", "list", "--limit", 1)[0]["entity_type"] == "token"


def test_the_owner_needs_no_token(cli: CommandLine) -> None:
    """The way back when no token is left."""
    ran = cli.run("token", "issue", "admin@example.com", "--as-owner", FLAGCTL_TOKEN="")
    assert ran.code == 0
    assert cli.as_(Secret(ran.stdout.strip())).ok("whoami")


@pytest.mark.parametrize(
    ("code", "arguments", "said"),
    [
        (2, ["bob@example.com", "--ttl", "2d"], "between one minute and"),
        (2, ["bob@example.com", "--ttl", "59s"], "between one minute and"),
        (2, ["bob@example.com", "--ttl", "soon"], "'soon' is no duration"),
        (5, ["bbo@example.com"], "did you mean bob@example.com"),
        (5, ["zz"], "hint: first `flagctl member add zz --role editor`"),
    ],
)
def test_issue_refuses(cli: CommandLine, code: int, arguments: list[str], said: str) -> None:
    assert said in cli.fails(code, "token", "issue", *arguments)


def test_issue_where_the_key_is_not(cli: CommandLine) -> None:
    said = cli.fails(2, "token", "issue", "bob@example.com", FLAGCTL_KEY_FOLDER="/nonexistent")
    assert "cannot be read: No such file or directory\nhint: `flagctl init` makes it" in said


def test_issue_with_a_key_that_others_can_read(cli: CommandLine) -> None:
    cli.installation.signing_key.path.chmod(0o644)
    assert "is open to others\nhint: chmod 600 " in cli.fails(
        2, "token", "issue", "bob@example.com"
    )


def test_list_and_revoke(cli: CommandLine) -> None:
    issued = cli.json("token", "issue", "bob@example.com")
    bob = cli.as_(Secret(issued["token"]))
    assert cli.ok("token", "revoke", issued["id"]).startswith(f"revoked {issued['id']} · audit ")
    assert cli.ok("token", "revoke", issued["id"]).startswith("was revoked already: ")
    assert bob.fails(3, "list") == (
        "error: the token has been revoked\nhint: ask an admin for a new one\n"
    )
    tokens = cli.json("token", "list")
    assert [list(token) for token in tokens] == [
        ["id", "email", "expires_at", "revoked_at", "created_at"]
    ] * 2
    shown = cli.ok("token", "list")
    assert issued["token"] not in shown
    assert " revoked " in shown
    assert " live " in shown


def test_revoke_refuses(cli: CommandLine) -> None:
    assert "'x' is no token id" in cli.fails(2, "token", "revoke", "x")
    assert "there is no token" in cli.fails(
        5, "token", "revoke", "00000000-0000-0000-0000-000000000000"
    )


@pytest.mark.parametrize("token", ["x", "a.b.c", "é", "." * 20_000, "eyJhbGciOiJub25lIn0.e30.AA"])
def test_no_real_token(stable: CommandLine, token: str) -> None:
    said = stable.fails(3, "whoami", "-v", FLAGCTL_TOKEN=token)
    assert said.startswith("error: the token ")
    assert (
        stable.run("whoami", "-o", "json", FLAGCTL_TOKEN=token).error()["code"] == "unauthenticated"
    )


def test_no_token_at_all(stable: CommandLine) -> None:
    assert stable.fails(3, "whoami", FLAGCTL_TOKEN="") == (
        "error: there is no token\nhint: set FLAGCTL_TOKEN or FLAGCTL_TOKEN_FILE; "
        "`flagctl init` and `flagctl token issue` print one\n"
    )


def test_an_altered_token(stable: CommandLine) -> None:
    head, claims, signature = stable.installation.token.reveal().split(".")
    altered = ".".join((head, claims, signature[::-1]))
    assert "the token" in stable.fails(3, "list", FLAGCTL_TOKEN=altered)


PASSPHRASE = "a phrase of some words"


@pytest.fixture
def sealed(cli: CommandLine) -> CommandLine:
    """The signing key has a passphrase now."""
    file = cli.installation.signing_key
    private_key, _ = file.read()
    file.path.unlink()
    KeyFile(file.path, Secret(PASSPHRASE)).write(private_key)
    return cli


def test_issue_with_a_passphrase(sealed: CommandLine) -> None:
    arguments = ("token", "issue", "bob@example.com")
    ran = sealed.run(*arguments, FLAGCTL_KEY_PASSPHRASE=PASSPHRASE)
    assert (ran.code, PASSPHRASE in ran.stderr) == (0, False)
    assert sealed.as_(Secret(ran.stdout.strip())).ok("whoami")
    wrong = sealed.fails(2, *arguments, FLAGCTL_KEY_PASSPHRASE="not the right one")
    assert "the passphrase does not open the signing key " in wrong
    assert "not the right one" not in wrong


def test_issue_without_the_passphrase(sealed: CommandLine) -> None:
    said = sealed.fails(2, "token", "issue", "bob@example.com")
    assert "is protected by a passphrase\nhint: set FLAGCTL_KEY_PASSPHRASE" in said
    ran = sealed.run("token", "issue", "bob@example.com", "-o", "json")
    assert ran.error()["code"] == "passphrase_needed"


@pytest.mark.parametrize(("typed", "code"), [(PASSPHRASE, 0), ("not the right one", 2), ("", 2)])
@pytest.mark.parametrize("door", [(), ("--as-owner",)])
def test_on_a_terminal_the_passphrase_is_typed_unseen(
    sealed: CommandLine, tmp_path: Path, typed: str, code: int, door: tuple[str, ...]
) -> None:
    ran = on_a_terminal(
        *("token", "issue", "bob@example.com", *door),
        environ={**os.environ, **sealed.environ},
        folder=tmp_path,
        answers=(typed,),
        echo=True,
    )
    assert ran.code == code, ran
    assert " is protected by a passphrase.\nPassphrase: \n" in ran.stderr
    assert not typed or typed not in ran.stderr
    if code == 0:
        assert sealed.as_(Secret(ran.stdout.strip())).ok("whoami")
    else:
        assert "the passphrase does not open the signing key " in ran.stderr
