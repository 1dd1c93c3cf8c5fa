"""flagctl list and show: which flags, and what of them."""

from datetime import datetime

import pytest

from tests.support.command_lines import CommandLine


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """With one flag."""
    cli.ok("create", "new_checkout", "--description", "New checkout flow")
    return cli


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
