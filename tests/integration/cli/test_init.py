"""flagctl init: from an empty database to the first admin's token."""

import stat
from pathlib import Path

from core.settings import Secret
from tests.support.command_lines import CommandLine
from tests.support.installations import Database


def of(database: Database) -> CommandLine:
    environ = {
        "FLAGCTL_OWNER_DATABASE_URL": database.owner_url.reveal(),
        "FLAGCTL_DATABASE_URL": database.admin_url.reveal(),
        "FLAGCTL_ROLE_PREFIX": database.prefix,
    }
    return CommandLine(database, environ)  # type: ignore[arg-type]  # `fails` is not used


def test_init(empty_database: Database, home: Path) -> None:
    cli = of(empty_database)
    ran = cli.run("init", "--admin", "ann@example.com", "--ttl", "1h")
    assert (ran.code, ran.stdout.count("\n")) == (0, 1)
    assert "ann@example.com is admin; the token until " in ran.stderr
    keys = home / "XDG_DATA_HOME" / "flagctl" / "keys"
    (key,) = keys.iterdir()
    assert f"the signing key is {key}: keep it safe\n" in ran.stderr
    assert [stat.S_IMODE(path.stat().st_mode) for path in (keys, key)] == [0o700, 0o600]
    admin = cli.as_(Secret(ran.stdout.strip()))
    assert admin.json("whoami")["roles"] == [{"role": "admin", "environment": None}]
    assert [e["key"] for e in admin.json("env", "list")] == ["dev", "staging", "prod"]
    again = cli.run("init", "--admin", "bob@example.com")
    assert (again.code, again.stdout) == (6, "")
    assert again.stderr == (
        "error: this installation is set up already\n"
        "hint: `flagctl token issue EMAIL --as-owner` gives a new token\n"
    )
    assert list(keys.iterdir()) == [key]


def test_init_as_json(empty_database: Database) -> None:
    made = of(empty_database).json("init", "--admin", "ann@example.com")
    assert list(made)[:5] == ["id", "token", "email", "expires_at", "key_file"]


def test_a_failed_init_can_be_repeated(empty_database: Database, home: Path) -> None:
    cli = of(empty_database)
    for bad in (["--admin", "ann"], ["--admin", "ann@example.com", "--ttl", "3d"]):
        ran = cli.run("init", *bad)
        assert (ran.code, ran.stdout) == (2, "")
    keys = home / "XDG_DATA_HOME" / "flagctl" / "keys"
    assert not list(keys.glob("*"))
    assert cli.run("init", "--admin", "ann@example.com").code == 0
    assert cli.run("init").code == 2
