"""flagctl usage: what readers counted, for people and for scripts."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis

from core import clock
from core.auth.api_keys import KeyKind
from core.cache import keys, usage
from tests.support.command_lines import CommandLine
from tests.support.installations import Cluster
from tests.support.usage import add

AWAY = "redis://127.0.0.1:1/0"
HEAD = ["environment", "since", "counted_since", "bulk_answers"]


@pytest.fixture(scope="module")
def shop(cluster: Cluster) -> Iterator[CommandLine]:
    """For the tests that only look."""
    with cluster.installation() as installation:
        yield filled(CommandLine(installation, installation.environ()))


def filled(cli: CommandLine) -> CommandLine:
    """Three flags and an archived one, two of them asked for."""
    for key in ("checkout", "search", "idle", "old"):
        cli.ok("create", key)
    add(cli.installation, {("checkout", "on"): 30, ("old", "on"): 5}, days_ago=20)
    add(cli.installation, {("checkout", "on"): 45, ("checkout", "off"): 25}, days_ago=3)
    add(cli.installation, {("search", "off"): 7, KeyKind.SERVER: 12, KeyKind.CLIENT: 3})
    cli.ok("archive", "old")
    return cli


def day(days_ago: int) -> str:
    return (clock.now() - timedelta(days=days_ago)).date().isoformat()


def test_all_flags_those_asked_for_most_first(shop: CommandLine) -> None:
    found = shop.json("usage", "--env", "prod")
    assert list(found) == [*HEAD, "flags"]
    assert found["since"] == day(30)
    assert found["counted_since"].startswith(day(20))
    assert found["bulk_answers"] == {"server": 12, "client": 3}
    assert found["flags"] == [
        *[
            {
                "key": "checkout",
                "evaluations": 100,
                "last_used": day(3),
                "variants": {"on": 75, "off": 25},
            },
            {"key": "search", "evaluations": 7, "last_used": day(0), "variants": {"off": 7}},
            {"key": "idle", "evaluations": 0, "last_used": None, "variants": {}},
        ]
    ]
    printed = shop.ok("usage", "--env", "prod")
    assert "12 to server keys, 3 to client keys" in printed
    assert "on 75.0 %, off 25.0 %" in printed
    assert shop.ok("usage", FLAGCTL_ENV="prod", FLAGCTL_OUTPUT="yaml").startswith("environment:")


def test_one_flag_by_variant_and_day(shop: CommandLine) -> None:
    found = shop.json("usage", "checkout", "--env", "prod")
    assert list(found) == [*HEAD, "key", "evaluations", "last_used", "variants", "days"]
    assert (found["evaluations"], found["variants"]) == (100, {"on": 75, "off": 25})
    assert found["days"] == [
        {"day": day(3), "evaluations": 70, "variants": {"on": 45, "off": 25}},
        {"day": day(20), "evaluations": 30, "variants": {"on": 30}},
    ]
    printed = shop.ok("usage", "checkout", "--env", "prod").splitlines()
    assert printed[-2].split() == [day(3), "70", "45", "25"]
    assert printed[-1].split() == [day(20), "30", "30", "0"]
    idle = shop.json("usage", "idle", "--env", "prod")
    assert (idle["variants"], idle["days"]) == ({"on": 0, "off": 0}, [])
    assert shop.json("usage", "old", "--env", "prod")["evaluations"] == 5, "also an archived one"
    assert "not asked for by its key" in shop.run("usage", "idle", "--env", "prod").stderr


@pytest.mark.parametrize(("since", "number"), [("7d", 70), ("0d", 0), ("1990-01-01", 100)])
def test_since(shop: CommandLine, since: str, number: int) -> None:
    found = shop.json("usage", "checkout", "--env", "prod", "--since", since)
    assert found["evaluations"] == number


def test_since_is_no_earlier_than_anything_is_kept(shop: CommandLine) -> None:
    kept = (clock.now() - timedelta(days=usage.KEPT_DAYS)).date().isoformat()
    found = shop.json("usage", "--env", "prod", "--since", "2001-01-01")
    assert found["since"] >= kept


def test_nothing_is_counted(cli: CommandLine) -> None:
    cli.ok("create", "checkout")
    found = cli.json("usage", "--env", "dev")
    assert (found["counted_since"], found["flags"][0]["evaluations"]) == (None, 0)
    assert "nothing is counted yet" in cli.ok("usage", "--env", "dev")


def test_what_is_wrong(shop: CommandLine) -> None:
    assert "did you mean checkout?" in shop.fails(5, "usage", "chekout", "--env", "prod")
    assert "did you mean prod?" in shop.fails(5, "usage", "--env", "prd")
    assert "no environment is named" in shop.fails(2, "usage")
    assert "is no date" in shop.fails(2, "usage", "--env", "prod", "--since", "soon")
    assert "in the future" in shop.fails(2, "usage", "--env", "prod", "--since", "2990-01-01")
    assert "REDIS_URL is not set" in shop.fails(2, "usage", "--env", "prod", FLAGCTL_REDIS_URL="")
    said = shop.fails(7, "usage", "--env", "prod", FLAGCTL_REDIS_URL=AWAY)
    assert "Redis cannot be reached" in said
    assert "there is no token" in shop.fails(3, "usage", "--env", "prod", FLAGCTL_TOKEN="")


def test_a_viewer_may_look(shop: CommandLine) -> None:
    viewer = shop.as_(shop.installation.token_for("viewer"))
    assert viewer.json("usage", "--env", "prod")["bulk_answers"]["server"] == 12


def test_garbage_does_not_show(cli: CommandLine) -> None:
    shop = filled(cli)
    today = keys.usage_key(shop.installation.environment_id("prod"), clock.now().date())
    with redis.Redis.from_url(shop.installation.redis.administrator.reveal()) as raw:
        strange: dict[Any, Any] = {
            "idle\0\x1b]0;owned\x07": 3,
            "idle\0on": "9" * 5_000_000,
            b"\xff\0on": 1,
            "no variant": 1,
            "\0server": "1e3",
            "x" * 3_000_000: 5,
        }
        raw.hset(today, mapping=strange)
        found = shop.json("usage", "--env", "prod")
        assert found["bulk_answers"] == {"server": 1, "client": 3}, "once at least"
        assert {flag["key"]: flag["evaluations"] for flag in found["flags"]}["idle"] == 4
        assert "\x1b" not in shop.ok("usage", "--env", "prod")
        raw.hset(today, mapping={f"f{n}\0on": 1 for n in range(usage.MOST_FIELDS)})
        found = shop.json("usage", "--env", "prod")
        assert found["flags"][1]["evaluations"] == 0, "too large for a day of ours"
        assert found["counted_since"] > day(0)


def test_more_flags_than_are_counted(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage, "MOST_FIELDS", 2)
    for key in ("a", "b", "c", "a"):
        add(cli.installation, {(key, "on"): 2, KeyKind.SERVER: 1})
        cli.run("create", key)
    found = cli.json("usage", "--env", "prod")
    assert [flag["evaluations"] for flag in found["flags"]] == [4, 0, 0]
    ran = cli.run("stale", "--unused-for", "0s", "--env", "prod")
    assert "prod has more flags in use than are counted" in ran.stderr
