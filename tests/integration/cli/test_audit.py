"""flagctl audit list, show."""

import pytest

from flagctl import output
from tests.support.command_lines import CommandLine


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """With events 5 to 7."""
    cli.ok("create", "new_checkout")
    cli.ok("set", "new_checkout", "--env", "prod", "--reason", "launch")
    cli.ok("config", "define", "c", "--type", "integer")
    return cli


def test_list_as_json(cli: CommandLine) -> None:
    events = cli.json("audit", "list", "--limit", 2)
    assert [event["id"] for event in events] == [7, 6]
    event = events[1]
    assert list(event)[:3] == ["id", "occurred_at", "actor"]
    promised = {
        *("id", "occurred_at", "actor", "entity_type", "entity_key", "environment"),
        *("action", "before", "after", "reason"),
    }
    assert promised <= event.keys()
    assert event["actor"] == "admin@example.com"
    assert (event["entity_type"], event["entity_key"]) == ("feature", "new_checkout")
    assert (event["environment"], event["action"]) == ("prod", "update")
    assert (event["before"]["enabled"], event["after"]["enabled"]) == (None, True)
    assert (event["reason"], event["revisions"]) == ("launch", {"prod": 3})


def test_list(cli: CommandLine) -> None:
    lines = cli.ok("audit", "list", "--limit", 2).splitlines()
    assert lines[0].split() == [
        *("id", "when", "(UTC)", "who", "what", "environment", "change", "reason")
    ]
    assert "create config c" in lines[2]
    assert lines[3].endswith("enabled: null → true   launch")


def test_list_on_a_terminal(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Eighty letters are too few for a table of it."""
    monkeypatch.setattr(output, "width", lambda: 40)
    lines = cli.ok("audit", "list", "--limit", 2, NO_COLOR="1").splitlines()
    assert lines == [
        "7         now  admin@example.com  create config c",
        "6         now  admin@example.com  update feature new_checkout in prod",
        "   enabled: null → true · launch",
    ]
    monkeypatch.setattr(output, "width", lambda: 20)
    assert cli.ok("audit", "list", "--limit", 2).splitlines()[-1] == "   enabled: null →…"


@pytest.mark.parametrize(
    ("options", "ids"),
    [
        (["--entity-type", "feature"], [6, 5]),
        (["--entity-key", "c"], [7]),
        (["--env", "prod"], [6]),
        (["--action", "create", "--actor", "admin@example.com"], [7, 5]),
        (["--actor", "nobody"], []),
        (["--since", "1h", "--limit", "1"], [7]),
        (["--since", "2020-01-01", "--until", "2020-02-01T00:00:00Z"], []),
        (["--until", "0s", "--entity-key", "c"], [7]),
    ],
)
def test_filters(cli: CommandLine, options: list[str], ids: list[int]) -> None:
    assert [event["id"] for event in cli.json("audit", "list", *options)] == ids


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--limit", "0"], "Invalid value for '--limit'"),
        (["--limit", "1001"], "Invalid value for '--limit'"),
        (["--limit", "x"], "Invalid value for '--limit'"),
        (["--entity-type", "featur"], "hint: did you mean feature?"),
        (["--since", "yesterday"], "'yesterday' is no date"),
        (["--until", "2027-13-01"], "'2027-13-01' is no date"),
        (["--since", "99999w"], "longer than a hundred years"),
    ],
)
def test_bad_filters(stable: CommandLine, options: list[str], said: str) -> None:
    assert said in stable.fails(2, "audit", "list", *options)


def test_nothing_found(cli: CommandLine) -> None:
    ran = cli.run("audit", "list", "--entity-key", "nope")
    assert (ran.code, ran.stdout, ran.stderr) == (0, "", "no changes\n")
    assert cli.ok("audit", "list", "--entity-key", "nope", "-o", "json") == "[]\n"


def test_show(cli: CommandLine) -> None:
    shown = cli.ok("audit", "show", 6)
    assert "what         update feature new_checkout\n" in shown
    assert "revisions    prod 3\n" in shown
    assert shown.endswith("\n  enabled: null → true\n")
    assert cli.json("audit", "show", 6) == cli.json("audit", "list", "--env", "prod")[0]


@pytest.mark.parametrize(("id_", "code"), [(99999, 5), ("0", 2), ("x", 2), ("9" * 30, 2)])
def test_show_refuses(stable: CommandLine, id_: object, code: int) -> None:
    stable.fails(code, "audit", "show", id_)
