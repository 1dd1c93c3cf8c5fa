"""flagctl member add, list, remove, and whoami."""

from tests.support.command_lines import CommandLine


def test_add_and_list(cli: CommandLine) -> None:
    assert cli.ok("member", "add", "bob@example.com", "--role", "viewer") == (
        "bob@example.com is viewer in every environment · audit 5\n"
    )
    assert cli.ok("member", "add", "bob@example.com", "--role", "editor", "--env", "dev") == (
        "bob@example.com is editor in dev · audit 6\n"
    )
    assert cli.ok("member", "add", "bob@example.com", "--role", "editor", "--env", "dev") == (
        "bob@example.com was already editor in dev\n"
    )
    roles = [(m["email"], m["role"], m["environment"]) for m in cli.json("member", "list")]
    assert roles == [
        ("admin@example.com", "admin", None),
        ("bob@example.com", "viewer", None),
        ("bob@example.com", "editor", "dev"),
    ]
    assert "every environment" in cli.ok("member", "list")


def test_add_refuses(cli: CommandLine) -> None:
    add = ("member", "add")
    assert cli.fails(2, *add, "bob", "--role", "editor") == (
        "error: 'bob' is no e-mail address\nhint: as in ann@example.com\n"
    )
    assert "did you mean editor?" in cli.fails(2, *add, "b@example.com", "--role", "editr")
    assert "roles are viewer, editor" in cli.fails(2, *add, "b@example.com", "--role", "king")
    assert "did you mean prod?" in cli.fails(
        5, *add, "b@example.com", "--role", "editor", "--env", "prd"
    )
    cli.fails(2, *add, "b@example.com")


def test_remove(cli: CommandLine) -> None:
    for environment in ("dev", "prod"):
        cli.ok("member", "add", "bob@example.com", "--role", "editor", "--env", environment)
    assert cli.ok("member", "remove", "bob@example.com", "--env", "dev").startswith(
        "removed bob@example.com from dev · "
    )
    assert cli.ok("member", "remove", "bob@example.com").startswith("removed bob@example.com · ")
    assert "has no role" in cli.fails(5, "member", "remove", "bob@example.com")


def test_the_last_admin_stays(cli: CommandLine) -> None:
    for arguments in (
        ["member", "remove", "admin@example.com"],
        ["member", "add", "admin@example.com", "--role", "viewer"],
    ):
        assert "is the last admin of default" in cli.fails(6, *arguments)


def test_whoami(cli: CommandLine) -> None:
    assert cli.ok("whoami") == (
        "you are       admin@example.com\n"
        "organization  default\n"
        "roles         admin in every environment\n"
    )
    assert cli.json("whoami") == {
        "actor": "admin@example.com",
        "name": "admin@example.com",
        "organization": "default",
        "roles": [{"role": "admin", "environment": None}],
    }


def test_a_foreign_organization(cli: CommandLine) -> None:
    assert "is not a member of organization nope" in cli.fails(4, "whoami", "--org", "nope")
    assert cli.fails(4, "whoami", FLAGCTL_ORG="nope")
    assert cli.ok("--org", "default", "whoami", FLAGCTL_ORG="nope")
