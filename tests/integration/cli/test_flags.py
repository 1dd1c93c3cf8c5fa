"""flagctl create, update, archive, unarchive, delete."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.command_lines import CommandLine


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """With one flag."""
    cli.ok("create", "new_checkout", "--description", "New checkout flow")
    return cli


def test_create(cli: CommandLine) -> None:
    assert cli.ok("create", "dark_mode") == (
        "created dark_mode, off everywhere · revision 3 of dev, 3 of staging, 3 of prod, audit 6\n"
    )


def test_create_as_json(cli: CommandLine) -> None:
    assert cli.json("create", "dark_mode") == {
        "flag": "dark_mode",
        "type": "boolean",
        "changed": True,
        "revision": None,
        "revisions": {"dev": 3, "staging": 3, "prod": 3},
        "audit_id": 6,
    }


def test_create_with_everything(cli: CommandLine) -> None:
    cli.ok(
        *("create", "theme", "--type", "object", "--default", "on", "--description", "Colours"),
        *("--variant", 'dark={"bg": "#000", "sizes": [1, 2.0]}', "--variant", "light={}"),
        *("--on-variant", "dark", "--off-variant", "light", "--owner", "ann"),
        *("--tag", "web", "--tag", "ui", "--tag", "web", "--expires", "2999-01-31"),
        *("--client-visible", "--reason", "new brand"),
    )
    flag = cli.json("show", "theme")
    assert flag["variants"] == {"dark": {"bg": "#000", "sizes": [1, 2.0]}, "light": {}}
    assert isinstance(flag["variants"]["dark"]["sizes"][1], float)
    assert (flag["type"], flag["default"], flag["tags"]) == ("object", "on", ["ui", "web"])
    assert (flag["permanent"], flag["client_visible"], flag["owner"]) == (False, True, "ann")
    assert flag["expires_at"] == "2999-01-31T00:00:00Z"
    assert cli.json("audit", "list", "--limit", 1)[0]["reason"] == "new brand"


def test_a_key_is_taken_once(cli: CommandLine) -> None:
    assert cli.fails(6, "create", "new_checkout") == (
        "error: the flag 'new_checkout' exists already\n"
    )
    cli.ok("archive", "new_checkout")
    assert cli.fails(6, "create", "new_checkout") == (
        "error: the flag 'new_checkout' exists already, archived\n"
        "hint: `flagctl unarchive new_checkout` brings it back\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--type", "list"], "'list' is no type"),
        (["--type", "string"], "a string flag needs its variants"),
        (["--default", "maybe"], "the global default is on or off, not 'maybe'"),
        (["--variant", "on"], "'on' is no variant"),
        (["--variant", "=1"], "'=1' is no variant"),
        (["--variant", "on=true", "--variant", "on=true"], "the variant 'on' is given twice"),
        (["--variant", "on=yes"], "the variant 'on' is not valid"),
        (["--variant", "on=1", "--variant", "off=false"], "the variant 'on' is a boolean"),
        (["--variant", "inherit=true"], "say which variant f serves when it is on"),
        (
            ["--variant", "on=true", "--variant", "off=false", "--variant", "inherit=true"],
            "'inherit' cannot name a variant",
        ),
        (["--on-variant", "onn"], "the on variant 'onn' does not exist"),
        (["--expires", "soon"], "'soon' is no date"),
        (["--expires", "2027-02-30"], "'2027-02-30' is no date"),
        (["--expires", "2020-01-31"], "f would have expired already: 2020-01-31T00:00:00+00:00"),
        (["--expires", "30d", "--permanent"], "f cannot both expire and be permanent"),
        (["--expires", "999999w"], "999999w is longer than a hundred years"),
        (["--tag", ""], "'' cannot be a tag"),
        (["--tag", "x" * 65], "cannot be a tag"),
        (["--description", "x" * 2001], "the description is longer than 2000 characters"),
        (["--description", "a\x1b[31m"], "the description has a character that does not print"),
        (["--owner", "\x07"], "the owner has a character that does not print"),
        (["--reason", "a\u202eb"], "the reason has a character that does not print"),
        (["--if-revision", "-1"], "Invalid value for '--if-revision'"),
        (["--if-revision", "x"], "Invalid value for '--if-revision'"),
    ],
)
def test_bad_definitions(stable: CommandLine, options: list[str], message: str) -> None:
    assert message in stable.fails(2, "create", "f", *options)


@pytest.mark.parametrize(
    "key",
    [
        "",
        "New",
        "a b",
        "_a",
        "a__b",
        "a/b",
        "é",
        "a\n",
        "a\x00",
        "\ud800",
        "x" * 129,
        "x" * 100_000,
    ],
)
def test_bad_keys(stable: CommandLine, key: str) -> None:
    said = stable.fails(2, "create", "--", key)
    assert said.startswith("error: ")
    assert len(said) < 300


@pytest.mark.parametrize(
    ("code", "arguments", "said"),
    [
        (
            5,
            ["set", "new_checkot", "--env", "prod"],
            "error: there is no flag 'new_checkot'\nhint: did you mean new_checkout?\n",
        ),
        (
            5,
            ["set", "new_checkout", "--env", "prd"],
            "error: there is no environment 'prd'\nhint: did you mean prod?\n",
        ),
        (
            5,
            ["show", "zzz"],
            "error: there is no flag 'zzz'\nhint: see `flagctl list`\n",
        ),
        (
            2,
            ["set", "new_checkout", "inherrit", "--env", "prod"],
            "error: 'inherrit' is neither on, off, inherit nor a variant of new_checkout\n"
            "hint: did you mean inherit?\n",
        ),
        (
            2,
            ["set", "new_checkout"],
            "error: no environment is named\nhint: --env ENV, or FLAGCTL_ENV\n",
        ),
        (
            2,
            ["sett", "new_checkout"],
            "error: there is no command 'sett'\nhint: did you mean set?\n",
        ),
        (
            2,
            ["set"],
            "error: Missing argument 'KEY'.\nhint: `flagctl set --help`\n",
        ),
        (
            2,
            ["set", "a", "b", "c"],
            "error: there is no place for 'c'\nhint: `flagctl set --help`\n",
        ),
        (
            2,
            ["list", "--lmit", "5"],
            "error: there is no option --lmit\nhint: did you mean --limit or --match?\n",
        ),
        (2, ["list", "--zzz"], "error: there is no option --zzz\nhint: `flagctl list --help`\n"),
        (2, ["list", "--limit"], "error: --limit needs a value\nhint: see `flagctl --help`\n"),
        (
            2,
            ["list", "--limit", "five"],
            "error: Invalid value for '--limit': 'five' is not a whole number\n"
            "hint: `flagctl list --help`\n",
        ),
        (
            2,
            ["list", "--limit", "0"],
            "error: Invalid value for '--limit': '0' is not greater than or equal to 1\n"
            "hint: `flagctl list --help`\n",
        ),
        (
            2,
            ["set", "x", "--rollout", "much"],
            "error: Invalid value for '--rollout': 'much' is not a number\n"
            "hint: `flagctl set --help`\n",
        ),
    ],
)
def test_refusals_name_what_and_what_next(
    stable: CommandLine, code: int, arguments: list[str], said: str
) -> None:
    assert stable.fails(code, *arguments) == said


def test_dry_run_shows_and_writes_nothing(cli: CommandLine) -> None:
    revisions, last = cli.installation.revisions(), cli.installation.last_event()
    assert cli.ok("set", "new_checkout", "--env", "prod", "--dry-run") == (
        "dry run: this would change, and did not:\n"
        "  update feature new_checkout in prod\n"
        "    enabled: null → true\n"
    )
    document = cli.json("delete", "new_checkout", "--dry-run")
    assert (document["dry_run"], document["audit_id"]) == (True, None)
    assert [event["action"] for event in document["events"]] == ["delete"]
    cli.ok("set", "new_checkout", "off", "--env", "prod", "--dry-run")
    assert cli.ok("unarchive", "new_checkout", "--dry-run") == "dry run: nothing would change\n"
    assert (revisions, last) == (cli.installation.revisions(), cli.installation.last_event())


def test_if_revision_without_environment_is_the_version(cli: CommandLine) -> None:
    version = cli.json("show", "new_checkout")["version"]
    cli.ok("update", "new_checkout", "--owner", "ann", "--if-revision", version)
    for again in (["update", "new_checkout", "--owner", "bob"], ["archive", "new_checkout"]):
        said = cli.fails(6, *again, "--if-revision", version)
        assert "the version of new_checkout is 2 now, not 1" in said
    assert "(which does not exist) is 0 now" in cli.fails(6, "create", "f", "--if-revision", 3)
    cli.ok("create", "f", "--if-revision", 0)


def test_update(layout: CommandLine) -> None:
    layout.ok("update", "layout", "--variant", 'tall="TALL"', "--remove-variant", "compact")
    flag = layout.json("show", "layout")
    assert sorted(flag["variants"]) == ["none", "tall", "wide"]
    layout.ok("update", "layout", "--expires", "30d", "--tag", "a")
    ends = datetime.fromisoformat(layout.json("show", "layout")["expires_at"])
    assert abs(ends - datetime.now(UTC) - timedelta(days=30)) < timedelta(minutes=1)
    layout.ok("update", "layout", "--expires", "never", "--no-tags", "--permanent")
    flag = layout.json("show", "layout")
    assert (flag["expires_at"], flag["tags"], flag["permanent"]) == (None, [], True)
    said = layout.fails(2, "update", "layout", "--expires", "30d")
    assert "cannot both expire and be permanent\nhint: `--expires never`" in said
    layout.ok("update", "layout", "--temporary", "--expires", "2999-01-31T12:00:00+02:00")
    assert layout.json("show", "layout")["expires_at"] == "2999-01-31T10:00:00Z"
    assert "expired already" in layout.fails(2, "update", "layout", "--expires", "2020-01-31")
    layout.ok("update", "layout", "--expires", "never")
    assert layout.ok("update", "layout", "--no-tags") == "layout: nothing to change\n"


def test_expired(cli: CommandLine) -> None:
    cli.ok("set", "new_checkout", "on", "--env", "prod")
    before = [environment["revision"] for environment in cli.json("env", "list")]
    said = cli.json("update", "new_checkout", "--expires", "1h")
    assert list(said["revisions"].values()) == [revision + 1 for revision in before]
    assert "expires " in cli.ok("show", "new_checkout")
    assert cli.json("eval", "new_checkout", "--env", "prod")["value"] is True
    cli.installation.govern(
        "UPDATE flagctl.flags SET expires_at = '2026-01-31 00:00:00+00' WHERE key = 'new_checkout'"
    )

    found = cli.json("eval", "new_checkout", "--env", "prod")
    assert (found["value"], found["reason"], found["expired"]) == (False, "DISABLED", True)
    assert "→ it expired on 2026-01-31 00:00:00 UTC: the off variant" in cli.ok(
        "explain", "new_checkout", "--env", "prod"
    )
    explained = cli.json("explain", "new_checkout", "--env", "prod")["explanation"]
    assert explained["expired_at"] == "2026-01-31T00:00:00Z"
    flag = cli.json("show", "new_checkout")
    prod = flag["environments"][-1]
    assert (flag["expired"], prod["state"], prod["enabled"], prod["variant"]) == (
        *(True, "on"),
        *(False, "off"),
    )
    assert "expired " in cli.ok("show", "new_checkout")
    assert "new_checkout (expired)" in cli.ok("list")
    for state, keys in (("expired", ["new_checkout"]), ("on", []), ("off", ["new_checkout"])):
        listed = cli.json("list", "--env", "prod", "--state", state)
        assert [flag["key"] for flag in listed] == keys
    cli.ok("update", "new_checkout", "--owner", "ann")
    ran = cli.run("set", "new_checkout", "on", "--env", "staging", "-o", "json")
    assert (ran.code, ran.json()["expired"]) == (0, True)
    assert ran.stderr.startswith("warning: new_checkout expired ")
    assert "until `flagctl update new_checkout --expires DATE|never`" in ran.stderr
    cli.ok("update", "new_checkout", "--expires", "never")
    assert cli.json("eval", "new_checkout", "--env", "prod")["value"] is True
    assert cli.json("list", "--state", "expired") == []


def test_update_refuses(layout: CommandLine) -> None:
    layout.ok("set", "layout", "compact", "--env", "prod")
    assert layout.fails(6, "update", "layout", "--remove-variant", "compact") == (
        "error: the variant 'compact' is served in prod\n"
        "hint: first `flagctl set layout on --env prod`\n"
    )
    assert "has no variant 'wid'" in layout.fails(2, "update", "layout", "--remove-variant", "wid")
    assert "does not exist" in layout.fails(2, "update", "layout", "--remove-variant", "wide")
    assert "is a string" in layout.fails(2, "update", "layout", "--variant", "wide=1")
    assert layout.fails(2, "update", "layout") == (
        "error: nothing to change is named\nhint: see `flagctl update --help`\n"
    )


def test_archive_and_back(cli: CommandLine) -> None:
    assert cli.ok("archive", "new_checkout").startswith("archived new_checkout · ")
    assert cli.ok("archive", "new_checkout") == "new_checkout: nothing to change\n"
    assert cli.fails(6, "set", "new_checkout", "--env", "dev") == (
        "error: the flag 'new_checkout' is archived\nhint: first `flagctl unarchive new_checkout`\n"
    )
    assert cli.ok("unarchive", "new_checkout").startswith("unarchived new_checkout · ")


def test_delete_needs_a_word(cli: CommandLine) -> None:
    assert cli.fails(2, "delete", "new_checkout") == (
        "error: deleting the flag 'new_checkout' needs a word\nhint: pass --yes to delete it\n"
    )
    assert cli.fails(5, "delete", "nope", "--yes").startswith("error: there is no flag 'nope'")
    assert cli.ok("delete", "new_checkout", "--yes").startswith("deleted new_checkout · ")
    assert cli.json("list") == []
