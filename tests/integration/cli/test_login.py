"""flagctl login: an address and a code for people, the token alone for pipes."""

from pathlib import Path

import pytest

from tests.support.command_lines import CommandLine
from tests.support.openid_issuers import (
    DEVICE,
    TOKEN,
    OpenIdIssuer,
    document,
)


@pytest.fixture
def person(stable: CommandLine, issuer: OpenIdIssuer) -> CommandLine:
    """Somebody who has set where to log in, and nothing else, and has done so when it asks."""
    issuer.routes[TOKEN] = document({"id_token": issuer.token("ann", "flagctl-cli")})
    settings = {"FLAGCTL_LOGIN_ISSUER": issuer.url, "FLAGCTL_LOGIN_CLIENT_ID": "flagctl-cli"}
    return CommandLine(stable.installation, settings)


def test_the_token_stands_alone(person: CommandLine, issuer: OpenIdIssuer) -> None:
    ran = person.run("login")
    assert ran.code == 0, ran
    token = ran.stdout.removesuffix("\n")
    assert token.count(".") == 2
    assert token not in ran.stderr
    lines = ran.stderr.splitlines()
    assert lines[:3] == [
        f"open {issuer.url}/activate",
        "and enter the code WDJB-MJHT",
        "waiting for that, 10 minutes at most…",
    ]
    assert lines[3].startswith("logged in as ann until ")


def test_an_address_that_holds_the_code(person: CommandLine, issuer: OpenIdIssuer) -> None:
    whole = f"{issuer.url}/activate?user_code=WDJB-MJHT"
    issuer.routes[DEVICE] = document(issuer.device(verification_uri_complete=whole))
    ran = person.run("login")
    assert ran.stderr.startswith(f"open {whole}\nand see that it shows the code WDJB-MJHT\n")


def test_as_json_and_with_options(person: CommandLine, issuer: OpenIdIssuer) -> None:
    issuer.routes[TOKEN] = document({"id_token": issuer.token("ann\x1b", "shop")})
    options = ("--issuer", issuer.url, "--client-id", "other", "--audience", "shop")
    ran = person.run("login", *options, "-o", "json", FLAGCTL_LOGIN_CLIENT_ID="")
    assert ran.code == 0, ran
    shown = ran.json()
    assert list(shown) == ["token", "issuer", "subject", "audience", "expires_at"]
    assert (shown["subject"], shown["audience"]) == ("ann\x1b", "shop")
    assert shown["token"].count(".") == 2
    assert [form["client_id"] for _, form in issuer.asked if form] == ["other", "other"]


def test_a_name_does_not_steer_the_terminal(person: CommandLine, issuer: OpenIdIssuer) -> None:
    issuer.routes[TOKEN] = document({"id_token": issuer.token("ann\x1b[2J", "flagctl-cli")})
    assert "logged in as ann\N{REPLACEMENT CHARACTER}[2J until " in person.run("login").stderr


@pytest.mark.parametrize("name", ["LOGIN_ISSUER", "LOGIN_CLIENT_ID"])
def test_what_is_missing_is_named(person: CommandLine, name: str) -> None:
    option = "--issuer URL" if name == "LOGIN_ISSUER" else "--client-id ID"
    assert person.fails(2, "login", **{f"FLAGCTL_{name}": ""}) == (
        f"error: FLAGCTL_{name} is not set\nhint: set it, or pass {option}\n"
    )


def test_a_token_for_somebody_else(person: CommandLine, issuer: OpenIdIssuer) -> None:
    ran = person.run("login", FLAGCTL_LOGIN_AUDIENCE="shop")
    assert (ran.code, ran.stdout) == (2, "")
    assert "error: the id token is for 'flagctl-cli', not for 'shop'\n" in ran.stderr


def test_a_refusal(person: CommandLine, issuer: OpenIdIssuer) -> None:
    issuer.routes[TOKEN] = document({"error": "access_denied"}, 400)
    ran = person.run("login")
    assert (ran.code, ran.stdout) == (4, "")
    assert "error: the login was refused at the issuer\n" in ran.stderr


def test_an_issuer_that_is_not_there(person: CommandLine) -> None:
    said = person.fails(7, "login", "--issuer", "https://127.0.0.1:1")
    assert "cannot be reached: Connection refused" in said


def test_a_project_does_not_say_where_one_logs_in(person: CommandLine) -> None:
    """A cloned repository could name an issuer that has one log in for somebody else."""
    folder = Path(".flagctl")
    folder.mkdir(mode=0o700)
    (folder / "config.toml").write_text('login_issuer = "https://id.evil.example"\n')
    (folder / "config.toml").chmod(0o600)
    said = person.fails(2, "login", FLAGCTL_LOGIN_ISSUER="")
    assert "error: login_issuer is not taken from a project's file: " in said
    assert person.run("login").code == 0
