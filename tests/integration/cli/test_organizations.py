"""flagctl org create, list, show, update, archive, unarchive."""

import pytest

from core.settings import Secret
from tests.support.command_lines import CommandLine


@pytest.fixture
def acme(cli: CommandLine) -> CommandLine:
    """As the admin of a second organization."""
    cli.ok("org", "create", "acme", "--admin", "ann@example.com", "--name", "Acme")
    token = cli.json(
        "token", "issue", "ann@example.com", "--as-owner", "--org", "acme", **keys(cli)
    )
    return cli.as_(Secret(token["token"]))


def keys(cli: CommandLine) -> dict[str, str]:
    return {"FLAGCTL_KEY_FOLDER": str(cli.installation.key_folder)}


def test_show(cli: CommandLine) -> None:
    assert "organization  default\n" in cli.ok("org", "show")
    assert list(cli.json("org", "show")) == [
        *("key", "name", "key_pattern", "created_at", "archived_at")
    ]


def test_update(cli: CommandLine) -> None:
    assert cli.ok("org", "update", "--name", "Example") == "updated · audit 5\n"
    assert cli.ok("org", "update", "--name", "Example") == "nothing to change\n"
    assert cli.json("org", "show")["name"] == "Example"


def test_the_pattern_decides_about_new_keys(cli: CommandLine) -> None:
    cli.ok("org", "update", "--key-pattern", "[A-Z]+")
    cli.ok("create", "NEW")
    assert cli.fails(2, "create", "new") == (
        "error: 'new' is not a valid flag key\nhint: keys match [A-Z]+\n"
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "nothing to change is named"),
        (["--key-pattern", "("], "the pattern is no regular expression"),
        (["--key-pattern", "a" * 501], "longer than 500 characters"),
        (["--name", " "], "the name is empty"),
        (["--name", "a\x07"], "has a character that does not print"),
    ],
)
def test_bad_updates(stable: CommandLine, options: list[str], said: str) -> None:
    assert said in stable.fails(2, "org", "update", *options)


def test_a_new_organization_has_what_it_needs(cli: CommandLine, acme: CommandLine) -> None:
    assert [e["key"] for e in acme.json("env", "list")] == ["dev", "staging", "prod"]
    assert [(m["email"], m["role"]) for m in acme.json("member", "list")] == [
        ("ann@example.com", "admin")
    ]
    acme.ok("create", "theirs")
    assert [f["key"] for f in acme.json("list")] == ["theirs"]
    assert cli.json("list") == []
    log = acme.json("audit", "list")
    assert [event["id"] for event in log] == list(range(len(log), 0, -1))
    assert (log[-1]["action"], log[-1]["entity_type"]) == ("create", "organization")


def test_create_refuses(cli: CommandLine, acme: CommandLine) -> None:
    create = ("org", "create")
    assert "exists already" in cli.fails(6, *create, "acme", "--admin", "ann@example.com")
    assert "is not a valid organization key" in cli.fails(2, *create, "A B", "--admin", "a@b.c")
    assert "is no e-mail address" in cli.fails(2, *create, "other", "--admin", "ann")
    assert len(cli.json("org", "list", "--as-owner")) == 2


def test_list(cli: CommandLine, acme: CommandLine) -> None:
    assert [o["key"] for o in cli.json("org", "list")] == ["default"]
    assert [o["key"] for o in acme.json("org", "list")] == ["acme"]
    assert [o["key"] for o in cli.json("org", "list", "--as-owner")] == ["acme", "default"]


def test_nothing_crosses_over(cli: CommandLine, acme: CommandLine) -> None:
    acme.ok("create", "theirs")
    foreign = cli.fails(5, "show", "theirs")
    assert foreign == cli.fails(5, "show", "theirx").replace("theirx", "theirs")
    assert acme.fails(4, "list", "--org", "default").replace("default", "nope") == acme.fails(
        4, "list", "--org", "nope"
    )


def test_archive(cli: CommandLine, acme: CommandLine) -> None:
    acme.ok("create", "theirs")
    assert "every API key of acme stops working" in cli.fails(2, "org", "archive", "acme")
    assert cli.ok("org", "archive", "acme", "--yes").startswith("archived acme · revision ")
    assert cli.ok("org", "archive", "acme") == "was archived already: acme\n"
    assert "the organization acme is archived" in acme.fails(4, "create", "more")
    assert [f["key"] for f in acme.json("list")] == ["theirs"]
    assert cli.ok("org", "unarchive", "acme").startswith("brought back acme · ")
    acme.ok("create", "more")
    assert "did you mean acme?" in cli.fails(5, "org", "archive", "acmee")


def test_the_owner_alone_makes_organizations(cli: CommandLine) -> None:
    said = cli.fails(
        7,
        *("org", "create", "mine", "--admin", "ann@example.com"),
        FLAGCTL_OWNER_DATABASE_URL=cli.installation.admin_url.reveal(),
    )
    assert "permission denied for function begin_owner_change" in said
