"""flagctl org show, update."""

import pytest

from tests.support.command_lines import CommandLine


def test_show(cli: CommandLine) -> None:
    assert "organization  default\n" in cli.ok("org", "show")
    assert list(cli.json("org", "show")) == ["key", "name", "key_pattern", "created_at"]


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
