"""flagctl set, create, list, show, update, archive, unarchive, delete."""

from datetime import UTC, datetime, timedelta

import pytest

from tests.support.command_lines import CommandLine


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """With one flag."""
    cli.ok("create", "new_checkout", "--description", "New checkout flow")
    return cli


@pytest.fixture
def layout(cli: CommandLine) -> CommandLine:
    """With a flag of three texts besides."""
    variants = [f'--variant={name}="{name.upper()}"' for name in ("wide", "compact", "none")]
    roles = ("--on-variant", "wide", "--off-variant", "none")
    cli.ok("create", "layout", "--type", "string", *variants, *roles)
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


def test_set(cli: CommandLine) -> None:
    assert cli.ok("set", "new_checkout", "--env", "prod") == (
        "new_checkout is on in prod · revision 3 of prod, audit 6\n"
    )
    assert cli.ok("set", "new_checkout", "on", "-e", "prod") == (
        "new_checkout was already on in prod\n"
    )
    assert cli.ok("set", "new_checkout", "off", "--env", "prod") == (
        "new_checkout is off in prod · revision 4 of prod, audit 7\n"
    )
    assert cli.ok("set", "new_checkout", "inherit", "--env", "prod") == (
        "new_checkout is inherited (off) in prod · revision 5 of prod, audit 8\n"
    )


def test_set_as_json(cli: CommandLine) -> None:
    expected = {
        "flag": "new_checkout",
        "environment": "prod",
        "enabled": True,
        "variant": "on",
        "state": "on",
        "changed": True,
        "revision": 3,
        "revisions": {"prod": 3},
        "audit_id": 6,
    }
    assert cli.json("set", "new_checkout", "--env", "prod") == expected
    unchanged = {"changed": False, "revisions": {}, "audit_id": None}
    assert cli.json("set", "new_checkout", "--env", "prod") == expected | unchanged


def test_set_serves_a_variant(layout: CommandLine) -> None:
    assert layout.ok("set", "layout", "compact", "--env", "prod").startswith(
        "layout is on, serving compact in prod"
    )
    listed = next(f for f in layout.json("list") if f["key"] == "layout")
    assert listed["states"] == {"dev": "off", "staging": "off", "prod": "compact"}
    assert layout.json("set", "layout", "off", "--env", "prod")["variant"] == "none"


def test_set_the_default(cli: CommandLine) -> None:
    assert cli.ok("set", "new_checkout", "--default").startswith("new_checkout is on by default · ")
    assert cli.ok("set", "new_checkout", "on", "--default") == (
        "new_checkout was already on by default\n"
    )
    states = cli.json("list")[0]["states"]
    assert states == {"dev": "on", "staging": "on", "prod": "on"}
    assert "exclude each other" in cli.fails(2, "set", "new_checkout", "--default", "-e", "dev")
    assert "on or off" in cli.fails(2, "set", "new_checkout", "inherit", "--default")


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


def test_the_environment_has_a_default(cli: CommandLine) -> None:
    ran = cli.json("set", "new_checkout", FLAGCTL_ENV="staging")
    assert ran["environment"] == "staging"


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


def test_if_revision_is_the_environments(cli: CommandLine) -> None:
    assert cli.fails(6, "set", "new_checkout", "--env", "prod", "--if-revision", 1) == (
        "error: the revision of prod is 2 now, not 1: it changed meanwhile\n"
        "hint: look at it again, then repeat with the new number\n"
    )
    beyond = cli.fails(6, "set", "new_checkout", "--env", "prod", "--if-revision", 10**30)
    assert beyond.startswith(f"error: the revision of prod is 2 now, not {10**30}:")
    assert cli.json("set", "new_checkout", "--env", "prod", "--if-revision", 2)["revision"] == 3


def test_if_revision_without_environment_is_the_version(cli: CommandLine) -> None:
    version = cli.json("show", "new_checkout")["version"]
    cli.ok("update", "new_checkout", "--owner", "ann", "--if-revision", version)
    for again in (["update", "new_checkout", "--owner", "bob"], ["archive", "new_checkout"]):
        said = cli.fails(6, *again, "--if-revision", version)
        assert "the version of new_checkout is 2 now, not 1" in said
    assert "(which does not exist) is 0 now" in cli.fails(6, "create", "f", "--if-revision", 3)
    cli.ok("create", "f", "--if-revision", 0)


def test_list(cli: CommandLine) -> None:
    cli.ok("create", "dark_mode", "--tag", "ui", "--owner", "ann")
    cli.ok("set", "dark_mode", "--env", "dev")
    lines = cli.ok("list").splitlines()
    assert lines[0].split() == ["flag", "type", "dev", "staging", "prod", "changed", "description"]
    assert [line.split() for line in lines[2:]] == [
        ["dark_mode", "boolean", "on", "off", "off", "now"],
        ["new_checkout", "boolean", "off", "off", "off", "now", "New", "checkout", "flow"],
    ]
    for options in (["--tag", "ui"], ["--owner", "ann"], ["--match", "ark_"]):
        assert [flag["key"] for flag in cli.json("list", *options)] == ["dark_mode"]
    for odd in ("%", "a_k", "'", "\\"):
        assert cli.json("list", "--match", odd) == []
    assert list(cli.json("list", "--env", "dev")[0]["states"]) == ["dev"]
    assert list(cli.json("list")[0]) == [
        *("key", "type", "default", "states", "tags", "owner", "description", "archived"),
        *("permanent", "expires_at", "expired", "updated_at"),
    ]


def test_list_by_state(layout: CommandLine) -> None:
    layout.ok("set", "layout", "compact", "--env", "prod")
    layout.ok("set", "new_checkout", "off", "--env", "dev")
    layout.ok("create", "standing", "--default", "on")

    def keys(*options: str) -> list[str]:
        return [flag["key"] for flag in layout.json("list", *options)]

    assert keys("--state", "on", "--env", "prod") == ["layout", "standing"]
    assert keys("--state", "on", "--env", "dev") == ["standing"]
    assert keys("--state", "off", "--env", "dev") == ["layout", "new_checkout"]
    assert keys("--state", "inherit", "--env", "dev") == ["layout", "standing"]
    assert keys("--state", "on") == ["layout", "standing"]
    assert keys("--state", "on", "--match", "lay") == ["layout"]
    assert "'maybe' is no state" in layout.fails(2, "list", "--state", "maybe")
    assert "there is no environment 'prd'" in layout.fails(5, "list", "--env", "prd")


def test_list_by_state_without_environments(cli: CommandLine) -> None:
    for name in ("dev", "staging", "prod"):
        cli.ok("env", "delete", name, "--yes")
    assert cli.json("list", "--state", "on") == cli.json("list", "--state", "inherit") == []
    assert cli.json("list")[0]["states"] == {}


def test_list_page_by_page(layout: CommandLine) -> None:
    layout.ok("create", "another")
    ran = layout.run("list", "--limit", 2)
    assert [line.split()[0] for line in ran.stdout.splitlines()[2:]] == ["another", "layout"]
    assert ran.stderr == "there are more: --cursor layout\n"
    assert "new_checkout" in layout.ok("list", "--limit", 2, "--cursor", "layout")
    keys = [flag["key"] for flag in layout.json("list", "--limit", 1, "--cursor", "another")]
    assert keys == ["layout"]
    assert layout.json("list", "--cursor", "zzz") == []
    found = layout.json("list", "--state", "off", "--limit", 1, "--cursor", "layout")
    assert [flag["key"] for flag in found] == ["new_checkout"]
    assert "Invalid value for '--limit'" in layout.fails(2, "list", "--limit", 0)


def test_tables_have_relative_times_and_documents_exact_ones(cli: CommandLine) -> None:
    assert cli.ok("list").splitlines()[2].split()[5] == "now"
    assert datetime.fromisoformat(cli.json("list")[0]["updated_at"]).tzinfo is not None
    cli.ok("set", "new_checkout", "--env", "prod")
    assert cli.ok("show", "new_checkout").splitlines()[-1].split()[-1] == "now"


def test_archived_flags_are_listed_when_asked(cli: CommandLine) -> None:
    cli.ok("archive", "new_checkout")
    assert cli.json("list") == []
    ran = cli.run("list")
    assert (ran.stdout, ran.stderr) == ("", "no flags; `flagctl create KEY` makes one\n")
    assert "new_checkout (archived)" in cli.ok("list", "--archived")


def test_a_pipe_gets_whole_words(cli: CommandLine) -> None:
    text = "long " * 60
    cli.ok("update", "new_checkout", "--description", text.strip())
    assert text.strip() in cli.ok("list")


def test_text_from_the_database_cannot_steer_the_terminal(cli: CommandLine) -> None:
    cli.installation.run(
        "BEGIN; SELECT flagctl.begin_owner_change('default', NULL, 'raw SQL');"
        " UPDATE flagctl.environments SET description = E'\\x1b[2Jx'; COMMIT"
    )
    assert "\x1b" not in cli.ok("env", "list")


def test_show(layout: CommandLine) -> None:
    layout.ok("set", "layout", "--env", "prod")
    shown = layout.ok("show", "layout")
    assert "flag            layout\n" in shown
    variants = [line.split() for line in shown.splitlines() if '"' in line and "=" not in line]
    assert sorted(variants) == [
        ["compact", '"COMPACT"'],
        ["none", '"NONE"', "when", "off"],
        ["wide", '"WIDE"', "when", "on"],
    ]
    compared = [line.split() for line in shown.partition("environment")[2].splitlines()]
    assert [compared[0], *compared[2:]] == [
        ["dev", "staging", "prod"],
        ["state", "inherit", "inherit", "on"],
        ["serves", "none", "none", "wide"],
        ["revision", *map(str, layout.installation.revisions().values())],
        ["changed", "now"],
    ]
    states = layout.json("show", "layout")["environments"]
    fields = "environment state enabled variant value percent rules updated_at revision"
    assert [list(state) for state in states] == [fields.split()] * 3
    assert [state["state"] for state in states] == ["inherit", "inherit", "on"]


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


def test_reasons_reach_the_log(cli: CommandLine) -> None:
    cli.ok("set", "new_checkout", "--env", "prod", "--reason", "launch – día 1 🚀")
    assert cli.json("audit", "list", "--limit", 1)[0]["reason"] == "launch – día 1 🚀"
