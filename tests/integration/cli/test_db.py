"""flagctl db upgrade, status, check, grants, new-epoch."""

from typing import Any

import psycopg
import pytest

from core.services.schema import head
from flagctl.progress import Bar
from tests.support.command_lines import CommandLine
from tests.support.installations import Database


def of(database: Database) -> CommandLine:
    """The command line of an empty database's owner."""
    environ = {
        "FLAGCTL_OWNER_DATABASE_URL": database.owner_url.reveal(),
        "FLAGCTL_ROLE_PREFIX": database.prefix,
    }
    return CommandLine(database, environ)  # type: ignore[arg-type]  # `fails` is not used


def test_from_nothing(empty_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[int, dict[str, Any]]] = []
    monkeypatch.setattr(Bar, "at", lambda _, done, **more: shown.append((done, more)))
    cli = of(empty_database)
    assert cli.json("db", "status")["current"] is None
    assert "current  (empty database)\n" in cli.ok("db", "status")
    ran = cli.run("db", "check")
    assert (ran.code, ran.stdout) == (8, "")
    assert "migrations are pending\nhint: run `flagctl db upgrade`" in ran.stderr
    ran = cli.run("db", "upgrade")
    assert (ran.code, ran.stdout) == (0, f"the schema is at {head()}\n")
    assert [line[:12] for line in ran.stderr.splitlines()][:2] == ["applied 0001", "applied 0002"]
    steps = [line.removeprefix("applied ") for line in ran.stderr.splitlines()]
    total = len(steps) + 1
    assert shown == [
        (done, {"what": step, "total": total}) for done, step in enumerate([*steps, "grants"])
    ]
    assert cli.ok("db", "upgrade") == f"the schema is at {head()} already\n"
    assert cli.ok("db", "check") == f"the schema is as expected, at {head()}\n"
    assert cli.json("db", "status") == {"current": head(), "head": head(), "pending": []}
    assert cli.json("db", "upgrade") == {"from": head(), "to": head(), "steps": []}


def test_a_plan_from_nothing(empty_database: Database) -> None:
    cli = of(empty_database)
    plan = cli.json("db", "upgrade", "--plan")
    assert list(plan) == ["current", "head", "steps"]
    assert (plan["current"], plan["head"]) == (None, head())
    assert [step["revision"] for step in plan["steps"]][-2:] == [head(), "grants"]
    first = plan["steps"][0]
    assert list(first) == ["revision", "title", "statements", "locks", "is_complete"]
    assert first["statements"][0].startswith("CREATE TABLE flagctl.installation (")
    assert first["locks"] == []
    said = cli.ok("db", "upgrade", "--plan")
    assert said.startswith(f"from (empty database) to {head()}; one transaction each:\n0001 ")
    assert cli.json("db", "status")["current"] is None


def test_a_plan_when_nothing_is_pending(stable: CommandLine) -> None:
    (grants,) = stable.json("db", "upgrade", "--plan")["steps"]
    assert grants["revision"] == "grants"
    lock = next(lock for lock in grants["locks"] if lock["table"] == "flags")
    assert (lock["mode"], lock["blocks"]) == ("ACCESS EXCLUSIVE", "reads and writes")
    assert lock["bytes"] > 0
    said = stable.ok("db", "upgrade", "--plan")
    assert "\n  flags: ACCESS EXCLUSIVE, blocks reads and writes; about " in said


def test_a_database_of_a_newer_release(cli: CommandLine) -> None:
    """This release reads it, and does not write to it."""
    cli.ok("create", "dark_mode")
    cli.installation.run("UPDATE flagctl.schema_version SET version_num = '9999'")
    older = (
        f"error: this flagctl is older than the database: it writes to schema {head()},"
        " the database is at 9999\n"
        "hint: install the release of flagctl that upgraded the database\n"
    )
    for words in (
        ("set", "dark_mode", "--env", "prod"),
        ("set", "dark_mode", "--env", "prod", "--dry-run"),
        ("key", "create", "web", "--env", "prod"),
        ("db", "new-epoch"),
        ("db", "upgrade"),
        ("db", "upgrade", "--plan"),
        ("db", "status"),
        ("db", "check"),
    ):
        assert cli.fails(7, *words) == older, words
    assert [flag["key"] for flag in cli.json("list")] == ["dark_mode"]
    assert cli.run("set", "dark_mode", "--env", "prod", "-o", "json").error()["code"] == (
        "unavailable"
    )


def test_a_database_of_an_older_release(cli: CommandLine) -> None:
    cli.ok("create", "dark_mode")
    cli.installation.run("UPDATE flagctl.schema_version SET version_num = '0001'")
    assert cli.fails(7, "set", "dark_mode", "--env", "prod") == (
        f"error: this flagctl is newer than the database: it writes to schema {head()},"
        " the database is at 0001\n"
        "hint: run `flagctl db upgrade` with the owner's address\n"
    )
    assert [flag["key"] for flag in cli.json("list")] == ["dark_mode"]


def test_a_version_that_nobody_made(cli: CommandLine) -> None:
    cli.installation.run("UPDATE flagctl.schema_version SET version_num = '0000'")
    assert "this flagctl is newer than the database" in cli.fails(7, "db", "status")


def test_check_sees_what_differs(cli: CommandLine) -> None:
    cli.installation.run("ALTER TABLE flagctl.flags ADD COLUMN surplus text")
    ran = cli.run("db", "check")
    assert (ran.code, ran.stdout) == (8, "")
    assert "surplus" in ran.stderr
    ran = cli.run("db", "check", "-o", "json")
    assert ran.code == 8
    assert "surplus" in ran.json()["differences"][0]
    assert ran.error()["code"] == "check_failed"


def test_an_unmigrated_database(empty_database: Database) -> None:
    ran = of(empty_database).run("db", "new-epoch")
    assert (ran.code, ran.stdout) == (7, "")
    assert "run `flagctl db upgrade`" in ran.stderr


def test_new_epoch(cli: CommandLine) -> None:
    assert cli.json("db", "new-epoch", "--reason", "restored a dump") == {"generation": 2}
    assert cli.ok("db", "new-epoch").startswith("epoch 3: readers drop every older copy")


def test_grants_are_sql(cli: CommandLine) -> None:
    """A superuser can run what is printed; again and again."""
    login = f"{cli.installation.prefix}_new_login"
    script = cli.ok("db", "grants", "--login", login, "--as", "reader")
    assert f'GRANT "{cli.installation.prefix}_reader" TO "{login}"' in script
    assert "PASSWORD" not in script
    try:
        for _ in range(2):
            cli.installation.run(script)
        member = "SELECT pg_has_role(%s, %s, 'member')"
        group = f"{cli.installation.prefix}_reader"
        assert cli.installation.ask(member, [login, group]) == [(True,)]
    finally:
        cli.installation.run(f"DROP ROLE IF EXISTS {login}")


def test_grants_need_no_connection(stable: CommandLine) -> None:
    script = stable.ok(
        *("db", "grants", "--database", "shop"),
        FLAGCTL_OWNER_DATABASE_URL="",
        FLAGCTL_ROLE_PREFIX="shop",
    )
    assert 'REVOKE ALL ON DATABASE "shop" FROM PUBLIC;' in script
    assert "shop_admin" in script


def test_grants_apply_needs_a_superuser(stable: CommandLine) -> None:
    said = stable.fails(7, "db", "grants", "--apply")
    assert "hint: this database login lacks a privilege: see `flagctl db grants`" in said
    superuser = stable.installation.superuser_url.reveal()
    assert stable.ok("db", "grants", "--apply", FLAGCTL_OWNER_DATABASE_URL=superuser) == (
        f"granted in {stable.installation.name}\n"
    )


def test_grants_refuse(stable: CommandLine) -> None:
    assert stable.fails(2, "db", "grants", "--as", "boss") == (
        "error: 'boss' is no group\nhint: owner, admin, reader or trust\n"
    )
    nameless = "postgresql:///?host=/tmp"
    assert "no database is named" in stable.fails(
        2, "db", "grants", FLAGCTL_OWNER_DATABASE_URL=nameless
    )


def test_a_login_that_is_not_the_owner(stable: CommandLine) -> None:
    said = stable.fails(
        7, "db", "upgrade", FLAGCTL_OWNER_DATABASE_URL=stable.installation.admin_url.reveal()
    )
    assert f"this login cannot act as {stable.installation.prefix}_owner" in said


def test_the_test_itself_is_no_superuser(stable: CommandLine) -> None:
    with (
        stable.installation.connect("owner") as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute("CREATE ROLE never")
