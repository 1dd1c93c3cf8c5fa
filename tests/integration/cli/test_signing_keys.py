"""flagctl signing-key: what an operator rotates and revokes, and what tokens say to it."""

import os
from pathlib import Path

import pytest

from core.services.key_files import KeyFile
from core.settings import Secret
from tests.support.command_lines import CommandLine
from tests.support.terminals import on_a_terminal

PASSPHRASE = "a phrase of some words"


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """Where the signing key lies."""
    settings = {**cli.environ, "FLAGCTL_KEY_FOLDER": str(cli.installation.key_folder)}
    return CommandLine(cli.installation, settings)


def keys(cli: CommandLine) -> list[tuple[str, str]]:
    """Ids and states, whatever the admin's own token is worth."""
    listed = cli.json("signing-key", "list")
    return [(key["id"], key["state"]) for key in listed]


def new_token(cli: CommandLine) -> CommandLine:
    ran = cli.run("token", "issue", "admin@example.com", "--as-owner")
    assert ran.code == 0, ran
    return cli.as_(Secret(ran.stdout.strip()))


def test_rotate(cli: CommandLine) -> None:
    ((old, _),) = keys(cli)
    ran = cli.run("signing-key", "rotate", "--reason", "as every year")
    assert ran.code == 0, ran
    (new, live), (ending, state) = keys(cli)
    assert (live, ending, state) == ("live", old, "ending")
    assert ran.stdout.startswith(f"{new} signs from now on · audit ")
    lines = ran.stderr.splitlines()
    path = next(cli.installation.key_folder.glob(f"*.{new}.pem"))
    assert lines[0] == (f"its file is {path}: keep it safe, and take it to where tokens are issued")
    assert lines[1].startswith(f"{old} are trusted until ")
    assert cli.ok("whoami"), "what the old one signed is good for a while"
    assert new_token(cli).ok("whoami")
    assert (
        cli.json("audit", "list", "--entity-type", "signing_key", "--limit", "1")[0]["reason"]
        == "as every year"
    )


def test_the_list(cli: CommandLine) -> None:
    ((old, _),) = keys(cli)
    cli.run("signing-key", "rotate")
    lines = [line.split() for line in cli.ok("signing-key", "list").splitlines()]
    assert lines[0] == ["signing", "key", "state", "ends", "created", "file"]
    assert lines[2][:2] == [keys(cli)[0][0], "live"]
    assert lines[3][:2] == [old, "ending"]
    files = [key["file"] for key in cli.json("signing-key", "list")]
    assert sorted(files) == sorted(map(str, cli.installation.key_folder.iterdir()))
    elsewhere = cli.json("signing-key", "list", FLAGCTL_KEY_FOLDER="/nonexistent")
    assert [key["file"] for key in elsewhere] == [None, None]
    as_member = cli.json("signing-key", "list", FLAGCTL_OWNER_DATABASE_URL="")
    assert [key["id"] for key in as_member] == [key for key, _ in keys(cli)]


def test_rotate_as_json_and_dry(cli: CommandLine) -> None:
    dry = cli.json("signing-key", "rotate", "--dry-run")
    assert (dry["dry_run"], dry["file"]) == (True, None)
    assert len(keys(cli)) == 1
    made = cli.json("signing-key", "rotate", "--overlap", "1h")
    assert list(made)[:4] == ["id", "file", "ending", "ends"]
    assert Path(made["file"]).exists()
    assert "30 days at most" in cli.fails(2, "signing-key", "rotate", "--overlap", "31d")


def test_revoke(cli: CommandLine) -> None:
    ((old, _),) = keys(cli)
    said = cli.fails(2, "signing-key", "revoke", old)
    assert f"{old} is the last signing key that lasts" in said
    cli.run("signing-key", "rotate")
    admin = new_token(cli)
    assert cli.ok("signing-key", "revoke", old).startswith(f"revoked {old} · audit ")
    assert cli.ok("signing-key", "revoke", old) == f"was revoked already: {old}\n"
    assert "that signed the token has been revoked" in cli.fails(3, "whoami")
    assert admin.ok("whoami")
    assert "there is no signing key x" in cli.fails(5, "signing-key", "revoke", "x")


def test_revoking_the_last_one_needs_a_word(cli: CommandLine) -> None:
    ((old, _),) = keys(cli)
    cli.ok("signing-key", "revoke", old, "--yes")
    said = cli.fails(2, "token", "issue", "admin@example.com", "--as-owner")
    assert "this installation has no signing key" in said
    cli.run("signing-key", "rotate")
    assert new_token(cli).ok("whoami")


def test_a_passphrase_comes_with_a_rotation(cli: CommandLine) -> None:
    """As a setting, for a key that had none; from then on it is needed."""
    ran = cli.run("signing-key", "rotate", FLAGCTL_KEY_PASSPHRASE=PASSPHRASE)
    assert ran.code == 0, ran
    (new, _), _ = keys(cli)
    path = next(cli.installation.key_folder.glob(f"*.{new}.pem"))
    assert KeyFile(path).is_encrypted()
    issue = ("token", "issue", "admin@example.com")
    assert "is protected by a passphrase" in cli.fails(2, *issue)
    assert cli.run(*issue, FLAGCTL_KEY_PASSPHRASE=PASSPHRASE).code == 0
    assert "is protected by a passphrase" in cli.fails(2, "signing-key", "rotate")
    wrong = cli.fails(2, "signing-key", "rotate", FLAGCTL_KEY_PASSPHRASE="mistyped, mistyped")
    assert "the passphrase does not open" in wrong
    assert len(keys(cli)) == 2


def test_a_passphrase_is_asked_for_twice(cli: CommandLine, tmp_path: Path) -> None:
    def rotate(*answers: str) -> tuple[int, str]:
        ran = on_a_terminal(
            *("signing-key", "rotate", "--passphrase"),
            environ={**os.environ, **cli.environ},
            folder=tmp_path,
            answers=answers,
            echo=True,
        )
        assert PASSPHRASE not in ran.stderr
        return ran.code, ran.stderr

    code, shown = rotate(PASSPHRASE, PASSPHRASE + "!")
    assert (code, "the two are not the same" in shown) == (2, True)
    code, shown = rotate("short", "short")
    assert (code, "has less than 12 characters" in shown) == (2, True)
    assert len(keys(cli)) == 1
    code, shown = rotate(PASSPHRASE, PASSPHRASE)
    assert code == 0, shown
    assert shown.startswith("Passphrase for the signing key: \nThe same again: \n")
    (new, _), _ = keys(cli)
    path = next(cli.installation.key_folder.glob(f"*.{new}.pem"))
    assert KeyFile(path, Secret(PASSPHRASE)).read()[1] == new


def test_nobody_is_there_to_type_it(cli: CommandLine) -> None:
    said = cli.fails(2, "signing-key", "rotate", "--passphrase")
    assert "a passphrase cannot be asked for here\nhint: set FLAGCTL_KEY_PASSPHRASE\n" in said
