"""flagctl init: from an empty database to the first admin's token."""

import os
import stat
from pathlib import Path

import pytest

from core.services.key_files import KeyFile
from core.settings import Secret
from tests.support.command_lines import CommandLine
from tests.support.installations import Database
from tests.support.openid_issuers import OpenIdIssuer, elliptic_jwk
from tests.support.terminals import on_a_terminal


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


def test_a_dry_init_leaves_no_key(empty_database: Database, home: Path) -> None:
    ran = of(empty_database).run("init", "--admin", "ann@example.com", "--dry-run")
    assert (ran.code, "dry run: this would change" in ran.stdout) == (0, True)
    assert not list((home / "XDG_DATA_HOME" / "flagctl" / "keys").glob("*"))


PASSPHRASE = "a phrase of some words"


def test_init_with_a_passphrase(empty_database: Database) -> None:
    cli = of(empty_database)
    made = cli.json("init", "--admin", "ann@example.com", FLAGCTL_KEY_PASSPHRASE=PASSPHRASE)
    assert KeyFile(Path(made["key_file"])).is_encrypted()
    assert cli.as_(Secret(made["token"])).ok("whoami")
    ran = cli.run("token", "issue", "ann@example.com", "--as-owner")
    assert (ran.code, "is protected by a passphrase" in ran.stderr) == (2, True)


def test_init_asks_for_a_passphrase(empty_database: Database, home: Path) -> None:
    cli = of(empty_database)
    refused = cli.run("init", "--admin", "ann@example.com", "--passphrase")
    assert (refused.code, "set FLAGCTL_KEY_PASSPHRASE" in refused.stderr) == (2, True)
    ran = on_a_terminal(
        *("init", "--admin", "ann@example.com", "--passphrase"),
        environ={**os.environ, **cli.environ},
        folder=home,
        answers=(PASSPHRASE, PASSPHRASE),
        echo=True,
    )
    assert ran.code == 0, ran
    assert PASSPHRASE not in ran.stderr
    (key,) = (home / "XDG_DATA_HOME" / "flagctl" / "keys").iterdir()
    assert KeyFile(key).is_encrypted()


@pytest.fixture
def company(issuer: OpenIdIssuer) -> list[str]:
    """The options of an installation that signs nothing itself."""
    options = ["--admin", "ann@example.com", "--no-signing-key", "--issuer", issuer.url]
    return [*options, "--audience", "flagctl-cli", "--subject", "8f3c"]


def test_without_a_signing_key_the_admin_is_of_the_company(
    empty_database: Database, home: Path, company: list[str], issuer: OpenIdIssuer
) -> None:
    cli = of(empty_database)
    ran = cli.run("init", *company)
    assert ran.code == 0, ran
    assert ran.stdout.startswith(f"ann@example.com is admin, as 8f3c of {issuer.url} · audit ")
    assert not list((home / "XDG_DATA_HOME" / "flagctl" / "keys").glob("*"))
    admin = cli.as_(Secret(issuer.token("8f3c", "flagctl-cli")))
    assert admin.json("whoami")["roles"] == [{"role": "admin", "environment": None}]
    admin.ok("create", "new_checkout")
    assert cli.json("signing-key", "list") == []
    refused = cli.run("token", "issue", "ann@example.com", "--as-owner")
    assert refused.code == 5, "nobody is a member of flagctl's own issuer"
    assert cli.run("init", *company).code == 6


def test_a_signing_key_can_come_later(
    empty_database: Database, company: list[str], issuer: OpenIdIssuer
) -> None:
    cli = of(empty_database)
    assert cli.json("init", *company)["subject"] == "8f3c"
    assert cli.run("signing-key", "rotate").code == 0
    admin = cli.as_(Secret(issuer.token("8f3c", "flagctl-cli")))
    admin.ok("member", "add", "bob@example.com", "--role", "viewer")
    ran = admin.run("token", "issue", "bob@example.com")
    assert ran.code == 0, ran
    assert cli.as_(Secret(ran.stdout.strip())).ok("whoami")


def test_the_way_back_when_the_issuer_is_lost(empty_database: Database, company: list[str]) -> None:
    """With the owner's login alone; nobody has a token any more."""
    cli = of(empty_database)
    assert cli.run("init", *company).code == 0
    assert cli.run("signing-key", "rotate").code == 0
    cli.ok("member", "add", "bob@example.com", "--role", "admin", "--as-owner")
    ran = cli.run("token", "issue", "bob@example.com", "--as-owner")
    bob = cli.as_(Secret(ran.stdout.strip()))
    assert bob.json("whoami")["roles"] == [{"role": "admin", "environment": None}]


def test_an_issuer_without_keys_sets_nothing_up(
    empty_database: Database, company: list[str], issuer: OpenIdIssuer
) -> None:
    cli = of(empty_database)
    issuer.keys = [elliptic_jwk("curve")]
    ran = cli.run("init", *company)
    assert (ran.code, "has no key to trust" in ran.stderr) == (2, True)
    schemas = empty_database.ask("SELECT count(*) FROM pg_namespace WHERE nspname = 'flagctl'")
    assert schemas == [(0,)]


@pytest.mark.parametrize("missing", ["--issuer", "--audience", "--subject", "--no-signing-key"])
def test_options_that_belong_together(
    empty_database: Database, company: list[str], missing: str
) -> None:
    place = company.index(missing)
    del company[place : place + (1 if missing == "--no-signing-key" else 2)]
    ran = of(empty_database).run("init", *company)
    assert ran.code == 2
    assert "--no-signing-key" in ran.stderr
