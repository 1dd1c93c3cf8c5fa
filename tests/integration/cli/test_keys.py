"""flagctl key create, list, rotate, revoke."""

import pytest

from core.auth.api_keys import KeyKind, parse
from tests.support.command_lines import CommandLine


def test_create_prints_the_key_alone(cli: CommandLine) -> None:
    ran = cli.run("key", "create", "web", "--env", "prod")
    parsed = parse(ran.stdout.removesuffix("\n"))
    assert parsed is not None
    assert parsed.kind is KeyKind.SERVER
    assert parsed.environment_id == cli.installation.environment_id("prod")
    assert ran.stderr == "created the server key web for prod; it is not shown again:\n"


def test_create_as_json(cli: CommandLine) -> None:
    made = cli.json("key", "create", "web", "--env", "prod", "--client", "--expires", "2999-01-01")
    key, id_ = made.pop("key"), made.pop("id")
    parsed = parse(key)
    assert parsed is not None
    assert parsed.kind is KeyKind.CLIENT
    assert made == {
        "name": "web",
        "kind": "client",
        "environment": "prod",
        "expires_at": "2999-01-01T00:00:00Z",
        "changed": True,
        "revision": 2,
        "revisions": {"prod": 2},
        "audit_id": 5,
    }
    digest = cli.installation.ask("SELECT digest FROM flagctl.api_keys WHERE public_id = %s", [id_])
    assert digest == [(parsed.digest,)]


def test_a_dry_run_makes_no_key(cli: CommandLine) -> None:
    assert cli.ok("key", "create", "web", "--env", "prod", "--dry-run").startswith("dry run: ")
    document = cli.json("key", "create", "web", "--env", "prod", "--dry-run")
    assert (document["key"], document["dry_run"]) == (None, True)
    assert cli.json("key", "list", "--all") == []


@pytest.mark.parametrize(
    ("code", "options", "said"),
    [
        (2, ["--expires", "2020-01-01"], "the key would have expired already"),
        (2, ["--expires", "never"], "'never' is no date"),
        (2, ["--expires", "0001-01-01T00:00:00+23:59"], "is no date"),
        (5, ["--env", "prd"], "did you mean prod?"),
    ],
)
def test_create_refuses(stable: CommandLine, code: int, options: list[str], said: str) -> None:
    assert said in stable.fails(code, "key", "create", "web", "--env", "prod", *options)


@pytest.mark.parametrize("name", ["", " ", "x" * 129, "a\nb\x00", "a\x1b"])
def test_bad_names(stable: CommandLine, name: str) -> None:
    assert stable.fails(2, "key", "create", name, "--env", "prod").startswith("error: ")


def test_list_never_shows_a_key(cli: CommandLine) -> None:
    made = cli.json("key", "create", "web", "--env", "prod")
    cli.run("key", "create", "web", "--env", "dev")
    listed = cli.json("key", "list", "--env", "prod")
    assert [list(key) for key in listed] == [
        ["id", "name", "kind", "environment", "state", "expires_at", "revoked_at", "created_at"]
    ]
    assert len(cli.json("key", "list")) == 2
    shown = cli.ok("key", "list")
    assert made["key"] not in shown + str(listed)
    assert shown.splitlines()[0].split() == [
        *("key", "id", "kind", "environment", "state", "expires", "created")
    ]


def test_rotate(cli: CommandLine) -> None:
    old = cli.json("key", "create", "web", "--env", "prod")
    ran = cli.run("key", "rotate", "web", "--env", "prod", "--overlap", "1h")
    assert ran.stderr.startswith("the old key web of prod ends at ")
    assert parse(ran.stdout.strip()) is not None
    assert ran.stdout.strip() != old["key"]
    assert cli.fails(6, "key", "revoke", "web", "--env", "prod").startswith(
        "error: prod has 2 live keys named 'web'\nhint: name one by its id: "
    )
    rotated = cli.json("key", "rotate", old["id"], "--env", "prod", "--overlap", "0s")
    assert list(rotated)[:6] == ["key", "id", "name", "kind", "environment", "expires_at"]
    assert "old_key_ends_at" in rotated
    states = [key["state"] for key in cli.json("key", "list", "--all")]
    assert sorted(states) == ["expired", "live", "live"]


@pytest.mark.parametrize("overlap", ["1x", "", "-1d", "1.5h", "999999w", "9999999d", "٣d"])
def test_bad_overlaps(stable: CommandLine, overlap: str) -> None:
    said = stable.fails(2, "key", "rotate", "web", "--env", "prod", f"--overlap={overlap}")
    assert "is no duration" in said or "longer than a hundred years" in said


def test_revoke(cli: CommandLine) -> None:
    cli.run("key", "create", "web", "--env", "prod")
    assert cli.ok("key", "revoke", "web", "--env", "prod", "--reason", "leaked") == (
        "revoked web of prod · revision 3 of prod, audit 6\n"
    )
    assert cli.fails(5, "key", "revoke", "web", "--env", "prod").startswith(
        "error: prod has no live key 'web'\n"
    )
    assert [key["state"] for key in cli.json("key", "list", "--all")] == ["revoked"]
    event = cli.json("audit", "list", "--entity-type", "api_key", "--action", "revoke")[0]
    assert (event["reason"], event["environment"]) == ("leaked", "prod")


def test_the_name_is_free_again_after_revoking(cli: CommandLine) -> None:
    cli.run("key", "create", "web", "--env", "prod")
    assert "exists" not in cli.fails(6, "key", "create", "web", "--env", "prod")
    cli.ok("key", "revoke", "web", "--env", "prod")
    assert cli.run("key", "create", "web", "--env", "prod").code == 0
