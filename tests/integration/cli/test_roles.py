"""Who may do what: every role with every kind of command."""

from collections.abc import Iterator

import pytest

from tests.support.command_lines import CommandLine
from tests.support.installations import Cluster

READS = ["list", "show f", "config list", "config get c -e dev", "env list", "audit list", "whoami"]
THERE = ["set f -e {}", "config set c 2 -e {}", "config unset c -e {}"]
EVERYWHERE = [
    "create g",
    "update f --owner ann",
    "set f --default",
    "archive f",
    "unarchive f",
    "config define d --type string",
    "config update c -d x",
]
ADMINS_THERE = ["key create k -e {}", "key rotate web -e {}", "key revoke web -e {}"]
ADMINS = [
    "delete f --yes",
    "config delete c --yes",
    "env create qa",
    "env delete staging --yes",
    "member add b@example.com --role viewer",
    "member remove admin@example.com",
    "org update --name x",
]
ALL_WRITES = [c.format("prod") for c in THERE + ADMINS_THERE] + EVERYWHERE + ADMINS


@pytest.fixture(scope="module")
def bearers(cluster: Cluster) -> Iterator[dict[str, CommandLine]]:
    """A command line for each role; with a flag, a config and a key to act on. Nothing changes."""
    with cluster.installation() as installation:
        admin = CommandLine(installation, installation.environ())
        admin.ok("create", "f")
        admin.ok("config", "define", "c", "--type", "integer")
        for environment in ("dev", "prod"):
            admin.ok("config", "set", "c", "1", "--env", environment)
            admin.run("key", "create", "web", "--env", environment)
        tokens = {
            "viewer": installation.token_for("viewer"),
            "approver": installation.token_for("approver"),
            "editor": installation.token_for("editor"),
            "editor of dev": installation.token_for("editor", "dev"),
            "admin of dev": installation.token_for("admin", "dev"),
        }
        yield {"admin": admin} | {role: admin.as_(token) for role, token in tokens.items()}


def attempt(cli: CommandLine, command: str) -> int:
    """The exit code; it is only tried, and a refusal names the role that is missing."""
    writes = command not in READS
    ran = cli.run(*command.split(), *(["--dry-run"] if writes else []))
    if ran.code == 4:
        assert "may not do this in " in ran.stderr
        assert "it needs the role " in ran.stderr
        assert "hint: `flagctl whoami` shows your roles" in ran.stderr
        assert ran.stdout == ""
    return ran.code


@pytest.mark.parametrize(
    ("role", "allowed"),
    [
        ("viewer", []),
        ("approver", []),
        ("editor", [c.format("prod") for c in THERE] + EVERYWHERE),
        ("editor of dev", []),
        ("admin of dev", []),
    ],
)
def test_writes(bearers: dict[str, CommandLine], role: str, allowed: list[str]) -> None:
    tried = {command: attempt(bearers[role], command) for command in ALL_WRITES}
    assert tried == {command: 0 if command in allowed else 4 for command in ALL_WRITES}


@pytest.mark.parametrize("role", ["viewer", "approver", "editor", "editor of dev", "admin of dev"])
def test_everybody_reads(bearers: dict[str, CommandLine], role: str) -> None:
    assert {attempt(bearers[role], command) for command in READS} == {0}


@pytest.mark.parametrize(
    ("role", "allowed"), [("editor of dev", THERE), ("admin of dev", THERE + ADMINS_THERE)]
)
def test_a_role_in_one_environment(
    bearers: dict[str, CommandLine], role: str, allowed: list[str]
) -> None:
    commands = THERE + ADMINS_THERE
    tried = {command: attempt(bearers[role], command.format("dev")) for command in commands}
    assert tried == {command: 0 if command in allowed else 4 for command in commands}


def test_the_refusal_says_what_is_missing(bearers: dict[str, CommandLine]) -> None:
    said = bearers["editor of dev"].fails(4, "set", "f", "--env", "prod")
    assert "may not do this in prod: it needs the role editor or admin\n" in said
    said = bearers["editor of dev"].fails(4, "create", "g")
    assert "may not do this in staging, prod: " in said
    assert bearers["viewer"].run("create", "g", "-o", "json").error()["code"] == "forbidden"
