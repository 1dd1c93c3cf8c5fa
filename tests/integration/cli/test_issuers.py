"""flagctl issuer: a company's own issuer, from add to remove, with real tokens of it."""

import pytest

from core.settings import Secret
from tests.support.command_lines import CommandLine
from tests.support.openid_issuers import (
    DISCOVERY,
    KEYS,
    OpenIdIssuer,
    content,
    document,
    elliptic_jwk,
    rsa_key,
)


@pytest.fixture
def trusting(cli: CommandLine, issuer: OpenIdIssuer) -> CommandLine:
    """The issuer is trusted, and Ann of it is an editor."""
    cli.ok("issuer", "add", issuer.url, "--audience", "flagctl-cli")
    make_member(cli, issuer.url, "ann")
    return cli


def make_member(cli: CommandLine, url: str, subject: str) -> None:
    who = ("--issuer", url, "--subject", subject)
    cli.ok("member", "add", subject, *who, "--role", "editor")


def as_ann(cli: CommandLine, issuer: OpenIdIssuer, **token: object) -> CommandLine:
    return cli.as_(Secret(issuer.token("ann", "flagctl-cli", **token)))  # type: ignore[arg-type]


def test_a_token_of_ones_own_issuer(trusting: CommandLine, issuer: OpenIdIssuer) -> None:
    ann = as_ann(trusting, issuer)
    assert ann.json("whoami")["actor"] == f"{issuer.url}#ann"
    ann.ok("create", "new_checkout")
    assert "the token is for another audience than 'flagctl-cli'" in trusting.as_(
        Secret(issuer.token("ann", "else"))
    ).fails(3, "whoami")
    bob = trusting.as_(Secret(issuer.token("bob", "flagctl-cli")))
    assert "bob is not a member of any organization" in bob.fails(4, "whoami")


def test_a_pipeline_without_a_secret(cli: CommandLine, issuer: OpenIdIssuer) -> None:
    """As docs/openid.md has it: no subject, but what the job's token says of the job."""
    cli.ok("issuer", "add", issuer.url, "--audience", "https://flags.example.com")
    claims = ("--claim", "repository=acme/shop", "--claim", "ref=refs/heads/main")
    role = ("--role", "editor", "--env", "prod")
    cli.ok("member", "add", "deploy-shop", "--issuer", issuer.url, *claims, *role)

    def job(**said: str) -> CommandLine:
        said = {"repository": "acme/shop", "ref": "refs/heads/main"} | said
        token = issuer.token("repo:acme/shop", "https://flags.example.com", **said)  # type: ignore[arg-type]
        return cli.as_(Secret(token))

    cli.ok("create", "new_checkout")
    job().ok("set", "new_checkout", "--env", "prod")
    assert job().json("whoami")["name"] == "deploy-shop"
    job().fails(4, "set", "new_checkout", "--env", "dev")
    assert "is not a member" in job(ref="refs/heads/else").fails(4, "whoami")
    assert "is not a member" in job(repository="evil/shop").fails(4, "whoami")


def test_add_says_what_it_trusts(cli: CommandLine, issuer: OpenIdIssuer) -> None:
    issuer.keys.append(elliptic_jwk("curve"))
    ran = cli.run("issuer", "add", issuer.url, "--audience", "a", "--max-lifetime", "90m")
    assert (ran.code, ran.stdout) == (0, f"{issuer.url} is trusted, with 1 key · audit 5, 6\n")
    assert ran.stderr == f"{issuer.url}: key 'curve' is not an RSA key: 'EC'\n"
    listed = cli.ok("issuer", "list")
    lines = [line.split() for line in listed.splitlines()]
    assert lines[0][:5] == ["issuer", "organization", "audience", "keys", "members"]
    assert lines[2][1:6] == ["all", "flagctl", "1", "1", "24h"]
    assert lines[3][:6] == [issuer.url, "default", "a", "1", "0", "90m"]


def test_add_as_json(cli: CommandLine, issuer: OpenIdIssuer) -> None:
    shown = cli.json(
        "issuer", "add", issuer.url, "--audience", "a", "--jwks-url", issuer.url + KEYS
    )
    assert list(shown)[:4] == ["issuer", "audience", "keys", "left_out"]
    assert shown["keys"] == ["first"]
    assert [path for path, _ in issuer.asked] == [KEYS]
    (_, listed) = cli.json("issuer", "list")
    assert listed["jwks_url"] == issuer.url + KEYS
    assert listed["keys"] == ["first"]


def test_add_asks_before_it_writes(cli: CommandLine, issuer: OpenIdIssuer) -> None:
    add = ("issuer", "add", issuer.url, "--audience", "a")
    assert "dry run: this would change, and did not" in cli.ok(*add, "--dry-run")
    issuer.keys = [elliptic_jwk("curve")]
    assert "has no key to trust\n  key 'curve' is not an RSA key" in cli.fails(2, *add)
    issuer.routes[DISCOVERY] = document({}, 503)
    assert "answers 503" in cli.fails(7, *add)
    assert "is not https" in cli.fails(2, "issuer", "add", "http://a.example", "--audience", "a")
    assert "is no duration" in cli.fails(2, *add, "--max-lifetime", "long")
    assert "between one minute and 24 hours" in cli.fails(2, *add, "--max-lifetime", "2d")
    assert len(cli.json("issuer", "list")) == 1


def test_add_twice(trusting: CommandLine, issuer: OpenIdIssuer) -> None:
    said = trusting.fails(6, "issuer", "add", issuer.url, "--audience", "a")
    assert f"default trusts the issuer {issuer.url} already" in said


def test_an_issuer_is_for_one_organization(trusting: CommandLine, issuer: OpenIdIssuer) -> None:
    trusting.installation.govern(
        "INSERT INTO flagctl.organizations (key, name) VALUES ('two', 'Two')"
    )
    ann = as_ann(trusting, issuer)
    assert "untrusted" not in ann.ok("whoami")
    assert "is not trusted here" in ann.fails(3, "whoami", "--org", "two")
    trusting.ok("issuer", "add", issuer.url, "--audience", "a", "--org", "two")
    organizations = [i["organization"] for i in trusting.json("issuer", "list")]
    assert organizations == [None, "default", "two"]
    narrowed = trusting.json("issuer", "list", "--org", "two")
    assert [i["organization"] for i in narrowed] == [None, "two"]
    as_member = trusting.json("issuer", "list", FLAGCTL_OWNER_DATABASE_URL="")
    assert [i["organization"] for i in as_member] == [None, "default"]


def test_a_new_key_needs_a_refresh(trusting: CommandLine, issuer: OpenIdIssuer) -> None:
    issuer.keys = [rsa_key("second").jwk()]
    ann = as_ann(trusting, issuer, key=rsa_key("second"))
    assert ann.fails(3, "whoami") == (
        f"error: the token's issuer '{issuer.url}' is not trusted here,"
        " or its key 'second' is not\n"
        "hint: if its issuer has new keys, run `flagctl issuer refresh`\n"
    )
    assert as_ann(trusting, issuer).ok("whoami")
    lines = trusting.ok("issuer", "refresh").splitlines()
    assert lines[2].split() == [issuer.url, "default", "second", "first", "refreshed"]
    assert ann.ok("whoami")
    assert "or its key 'first' is not" in as_ann(trusting, issuer).fails(3, "whoami")


def test_refresh_as_json(trusting: CommandLine, issuer: OpenIdIssuer) -> None:
    issuer.keys = [rsa_key("second").jwk(), elliptic_jwk("curve")]
    shown = trusting.json("issuer", "refresh", issuer.url)
    (result,) = shown["issuers"]
    assert shown["dry_run"] is False
    assert result | {"audit_ids": []} == {
        "issuer": issuer.url,
        "organization": "default",
        "added": ["second"],
        "replaced": [],
        "revoked": ["first"],
        "left_out": ["key 'curve' is not an RSA key: 'EC'"],
        "error": None,
        "audit_ids": [],
    }
    assert len(result["audit_ids"]) == 2


def test_a_dry_refresh(trusting: CommandLine, issuer: OpenIdIssuer) -> None:
    issuer.keys = [rsa_key("second").jwk()]
    before = trusting.installation.last_event()
    ran = trusting.run("issuer", "refresh", "--dry-run")
    assert (ran.code, ran.stderr) == (0, "dry run: nothing was changed\n")
    assert "second" in ran.stdout
    assert trusting.installation.last_event() == before


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [(503, 7, "answers 503"), (404, 2, "answers 404")],
)
def test_one_that_fails_does_not_stop_the_others(
    trusting: CommandLine, issuer: OpenIdIssuer, status: int, code: int, said: str
) -> None:
    realm = f"{issuer.url}/realm"
    issuer.routes["/realm" + DISCOVERY] = document({**issuer.discovery(), "issuer": realm})
    trusting.ok("issuer", "add", realm, "--audience", "a")
    issuer.routes[DISCOVERY] = content(b"", status)
    issuer.keys = [rsa_key("second").jwk()]
    ran = trusting.run("issuer", "refresh", "-o", "json")
    assert ran.code == code
    failed, fine = ran.json()["issuers"]
    assert (failed["issuer"], failed["added"]) == (issuer.url, [])
    assert said in failed["error"]
    assert (fine["issuer"], fine["added"], fine["error"]) == (realm, ["second"], None)
    assert ran.error()["message"].startswith("1 of 2 issuers could not be refreshed:\n  ")
    assert as_ann(trusting, issuer).ok("whoami"), "it keeps the keys it had"
    table = trusting.run("issuer", "refresh")
    assert table.code == code
    states = [line.split("  ")[-1].strip() for line in table.stdout.splitlines()[2:]]
    assert states == ["not refreshed", "refreshed"]


def test_a_set_without_a_usable_key_changes_nothing(
    trusting: CommandLine, issuer: OpenIdIssuer
) -> None:
    issuer.keys = [elliptic_jwk("curve")]
    ran = trusting.run("issuer", "refresh")
    assert ran.code == 2
    assert "hint: their keys stay as they were\n" in ran.stderr
    assert as_ann(trusting, issuer).ok("whoami")


def test_refreshing_nothing(cli: CommandLine) -> None:
    ran = cli.run("issuer", "refresh")
    assert (ran.code, ran.stdout) == (0, "")
    assert ran.stderr == "no issuers; `flagctl issuer add URL --audience A` adds one\n"
    assert "no issuer 'https://a.example' is trusted here" in cli.fails(
        5, "issuer", "refresh", "https://a.example"
    )


def test_organizations_that_share_an_issuer_ask_once(
    trusting: CommandLine, issuer: OpenIdIssuer
) -> None:
    trusting.installation.govern(
        "INSERT INTO flagctl.organizations (key, name) VALUES ('two', 'Two')"
    )
    trusting.ok("issuer", "add", issuer.url, "--audience", "a", "--org", "two")
    issuer.asked.clear()
    issuer.keys = [rsa_key("second").jwk()]
    results = trusting.json("issuer", "refresh")["issuers"]
    assert [(r["organization"], r["added"]) for r in results] == [
        ("default", ["second"]),
        ("two", ["second"]),
    ]
    assert [path for path, _ in issuer.asked] == [DISCOVERY, KEYS]


def test_remove(trusting: CommandLine, issuer: OpenIdIssuer) -> None:
    ann = as_ann(trusting, issuer)
    assert ann.ok("whoami")
    said = trusting.fails(2, "issuer", "remove", issuer.url)
    assert f"ann of default would go with {issuer.url}" in said
    assert "hint: pass --yes to do it all the same" in said
    assert trusting.ok("issuer", "remove", issuer.url, "--yes").startswith(
        f"removed {issuer.url}, and with it ann · audit "
    )
    assert f"the token's issuer '{issuer.url}' is not trusted here" in ann.fails(3, "whoami")
    assert [m["email"] for m in trusting.json("member", "list")] == ["admin@example.com"]
    assert "does not trust the issuer" in trusting.fails(5, "issuer", "remove", issuer.url)


def test_a_login_of_the_keepers_of_trust(cli: CommandLine, issuer: OpenIdIssuer) -> None:
    """As a scheduled refresh has it: no token, and no login of the owner's."""
    settings = {
        **cli.environ,
        "FLAGCTL_OWNER_DATABASE_URL": cli.installation.trust_url.reveal(),
        "FLAGCTL_TOKEN": "",
    }
    keeper = CommandLine(cli.installation, settings)
    keeper.ok("issuer", "add", issuer.url, "--audience", "a")
    issuer.keys = [rsa_key("second").jwk()]
    assert keeper.json("issuer", "refresh")["issuers"][0]["added"] == ["second"]
    assert len(keeper.json("issuer", "list")) == 2
    make_member(cli, issuer.url, "ann")
    said = keeper.fails(4, "issuer", "remove", issuer.url, "--yes")
    assert "only the owner's own login may remove" in said
    cli.ok("member", "remove", "ann")
    keeper.ok("issuer", "remove", issuer.url)


@pytest.mark.parametrize(
    "command",
    [
        ("issuer", "refresh"),
        ("issuer", "remove", "https://a.example"),
        ("signing-key", "rotate"),
        ("signing-key", "revoke", "x"),
    ],
)
def test_a_token_is_not_enough(cli: CommandLine, command: tuple[str, ...]) -> None:
    said = cli.fails(2, *command, FLAGCTL_OWNER_DATABASE_URL="")
    assert "FLAGCTL_OWNER_DATABASE_URL is not set" in said
