"""flagctl member add, list, remove, and whoami."""

import pytest

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


PIPELINE = "https://token.actions.githubusercontent.com"


@pytest.fixture
def trusting(cli: CommandLine) -> CommandLine:
    """Where the organization trusts a pipeline's issuer, and a company's."""
    cli.installation.govern(
        "INSERT INTO flagctl.issuers (organization_id, issuer, audience)"
        f" VALUES (1, '{PIPELINE}', 'flagctl'), (1, 'https://id.example.com', 'flagctl')"
    )
    return cli


def test_a_member_by_claims(trusting: CommandLine) -> None:
    add = ("member", "add", "deploy of shop", "--role", "editor", "--env", "prod")
    claims = ("--claim", "repository=acme/shop", "--claim", "ref=refs/heads/main")
    assert trusting.ok(*add, "--issuer", PIPELINE, *claims).startswith(
        "deploy of shop is editor in prod · "
    )
    assert "was already" in trusting.ok(*add, "--issuer", PIPELINE, *claims)
    member = trusting.json("member", "list")[-1]
    assert (member["email"], member["subject"], member["issuer"]) == (
        *("deploy of shop", None),
        PIPELINE,
    )
    assert member["claims"] == {"repository": "acme/shop", "ref": "refs/heads/main"}
    assert "repository=acme/shop" in trusting.ok("member", "list").replace("\n", "")
    assert trusting.ok("member", "remove", "deploy of shop").startswith("removed deploy of shop")


def test_a_member_by_subject_of_another_issuer(trusting: CommandLine) -> None:
    for issuer in (PIPELINE, "https://id.example.com"):
        trusting.ok(
            *("member", "add", "ann@example.com", "--role", "viewer"),
            *("--issuer", issuer, "--subject", "1234"),
        )
    assert "is known at several issuers" in trusting.fails(6, "member", "remove", "ann@example.com")
    trusting.ok("member", "remove", "ann@example.com", "--issuer", PIPELINE)
    left = [m["issuer"] for m in trusting.json("member", "list") if m["subject"] == "1234"]
    assert left == ["https://id.example.com"]


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        (["--issuer", "https://id.exampl.com"], 5, "did you mean https://id.example.com?"),
        (["--issuer", "https://id.example.com"], 2, "either --subject SUB or --claim"),
        (["--subject", "x", "--claim", "a=b"], 2, "either --subject SUB or --claim"),
        (["--issuer", PIPELINE, "--claim", "ref=refs/heads/main"], 2, "would let strangers in"),
        (["--claim", "repository"], 2, "the claim 'repository' has no value"),
        (["--claim", "a=1", "--claim", "a=2"], 2, "the claim 'a' stands twice"),
        (["--claim", "aud=flagctl"], 2, "the claim 'aud' cannot be a condition"),
        (["--claim", "=x"], 2, "the claim '' cannot be a condition"),
    ],
)
def test_identities_that_cannot_be(
    trusting: CommandLine, options: list[str], code: int, said: str
) -> None:
    assert said in trusting.fails(code, "member", "add", "x", "--role", "viewer", *options)


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
