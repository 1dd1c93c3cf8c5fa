"""flagctl stale: every reason, and what is none."""

from datetime import UTC, datetime
from typing import Any

import pytest
import redis
from sqlalchemy import update

from core import clock
from core.auth.api_keys import KeyKind
from core.cache import keys
from core.models import Flag
from tests.support.command_lines import CommandLine
from tests.support.usage import add, age

SETTLED = ("--unchanged-for", "0s")  # what was changed just now counts as well
EVERYWHERE = ("dev", "staging", "prod")
LAYOUT = ("--type", "string", "--variant", 'a="a"', "--variant", 'b="b"')
FIELDS = [
    *("key", "reasons", "variant", "last_used", "owner", "tags", "permanent"),
    *("expires_at", "changed_at"),
]


def reasons(cli: CommandLine, *arguments: str) -> dict[str, list[str]]:
    ran = cli.run("stale", *SETTLED, *arguments, "-o", "json")
    assert ran.code == 0, ran
    return {flag["key"]: flag["reasons"] for flag in ran.json()}


def on(cli: CommandLine, key: str, *environments: str, state: str = "on") -> None:
    for environment in environments:
        cli.ok("set", key, state, "--env", environment)


def everywhere(cli: CommandLine, key: str) -> None:
    on(cli, key, *EVERYWHERE)


def a_rollout(cli: CommandLine, key: str) -> None:
    everywhere(cli, key)
    cli.ok("set", key, "--env", "prod", "--rollout", "50")


def a_rule(cli: CommandLine, key: str) -> None:
    everywhere(cli, key)
    cli.ok("rule", "add", key, "--env", "prod", "--if", 'country == "DE"', "--serve", "off")


def a_prerequisite(cli: CommandLine, key: str) -> None:
    everywhere(cli, key)
    cli.ok("create", "other")
    cli.ok("rule", "require", key, "other", "--variant", "on", "--env", "prod")


def expired(cli: CommandLine, key: str) -> None:
    with cli.installation.change() as change:
        past = {"expires_at": datetime(2026, 1, 31, tzinfo=UTC), "default_enabled": True}
        change.session.execute(update(Flag).where(Flag.key == key).values(**past))


def a_variant(cli: CommandLine, key: str) -> None:
    on(cli, key, *EVERYWHERE, state="b")


def two_variants(cli: CommandLine, key: str) -> None:
    on(cli, key, "dev", "staging", state="a")
    on(cli, key, "prod", state="b")


def on_in_one(cli: CommandLine, key: str) -> None:
    on(cli, key, "prod")


def unreadable(cli: CommandLine, key: str) -> None:
    everywhere(cli, key)
    cli.installation.govern("""UPDATE flagctl.overrides SET targeting = '{"format": 99}'""")


def nothing(cli: CommandLine, key: str) -> None:
    pass


def archived(cli: CommandLine, key: str) -> None:
    cli.ok("archive", key)


@pytest.mark.parametrize(
    ("made", "prepare", "arguments", "expected"),
    [
        ((), nothing, (), ["same"]),
        ((), archived, (), None),
        ((), everywhere, (), ["rolled_out"]),
        (("--default", "on"), nothing, (), ["rolled_out"]),
        ((), on_in_one, (), None),
        ((), on_in_one, ("--env", "prod"), ["rolled_out"]),
        ((), on_in_one, ("--env", "prod", "--env", "dev"), None),
        ((), on_in_one, ("--env", "staging", "--env", "dev"), ["same"]),
        ((), a_rollout, (), None),
        ((), a_rollout, ("-e", "dev"), ["rolled_out"]),
        ((), a_rule, (), None),
        ((), a_prerequisite, (), None),
        ((), expired, (), ["expired"]),
        ((), unreadable, (), None),
        ((*LAYOUT, "--on-variant", "a", "--off-variant", "b"), a_variant, (), ["rolled_out"]),
        ((*LAYOUT, "--on-variant", "a", "--off-variant", "b"), two_variants, (), None),
        # On in one place and off in another, and worth the same.
        ((*LAYOUT, "--on-variant", "a", "--off-variant", "a"), on_in_one, (), ["same"]),
        (("--permanent",), nothing, (), None),
        (("--permanent",), everywhere, (), None),
    ],
)
def test_what_is_stored(
    cli: CommandLine, made: Any, prepare: Any, arguments: Any, expected: list[str] | None
) -> None:
    cli.ok("create", "checkout", *made)
    prepare(cli, "checkout")
    assert reasons(cli, *arguments).get("checkout") == expected


def counted(cli: CommandLine, *environments: str, days_ago: float = 40) -> None:
    """From then on, in these environments."""
    for environment in environments or EVERYWHERE:
        add(cli.installation, {}, environment=environment, days_ago=days_ago)


@pytest.fixture
def shop(cli: CommandLine) -> CommandLine:
    """Flags that are half a year old, and neither the same everywhere nor for everybody."""
    cli.ok("create", "checkout")
    cli.ok("create", "banner", "--client-visible")
    cli.ok("create", "kill_switch", "--permanent")
    for key in ("checkout", "banner"):
        on(cli, key, "prod")
    age(cli.installation, days=180)
    return cli


def test_unused(shop: CommandLine) -> None:
    counted(shop)
    ran = shop.run("stale", *SETTLED, "-o", "json")
    assert ran.stderr == "", "all is known"
    unused = {"banner": ["unused"], "checkout": ["unused"], "kill_switch": ["unused"]}
    assert reasons(shop) == unused
    add(shop.installation, {("checkout", "on"): 1}, environment="dev", days_ago=31.5)
    assert reasons(shop) == unused, "before the window"
    add(shop.installation, {("checkout", "on"): 1}, environment="dev", days_ago=29)
    assert reasons(shop) == {"banner": ["unused"], "kill_switch": ["unused"]}
    assert "checkout" in reasons(shop, "--unused-for", "20d")
    assert reasons(shop, "--env", "prod")["checkout"] == ["rolled_out", "unused"]
    shop.ok("create", "young")
    assert reasons(shop)["young"] == ["same"], "it is not as old as the window"


def test_answers_with_all_flags_say_nothing(shop: CommandLine) -> None:
    counted(shop)
    add(shop.installation, {KeyKind.CLIENT: 1}, days_ago=2)
    ran = shop.run("stale", *SETTLED, "-o", "json")
    assert {flag["key"] for flag in ran.json()} == {"checkout", "kill_switch"}
    said = "note: not asked for by key, but in answers with all flags that client keys got: 1 more"
    assert said in ran.stderr
    assert "banner" in reasons(shop, "--unused-for", "1h"), "not that lately"
    assert "unused" in reasons(shop, "--env", "dev")["banner"], "not there"
    add(shop.installation, {KeyKind.SERVER: 1}, environment="dev", days_ago=2)
    ran = shop.run("stale", *SETTLED)
    assert ran.stdout == ""
    assert "no flag may be cleaned up\nnote: not asked for" in ran.stderr
    assert "client and server keys got: 3 more" in ran.stderr


def test_counted_for_too_short_a_time(shop: CommandLine) -> None:
    ran = shop.run("stale", *SETTLED, "--env", "prod", "-o", "json")
    assert [flag["reasons"] for flag in ran.json()] == [["rolled_out"], ["rolled_out"]]
    assert "note: nothing is counted in prod: what is unused cannot be said" in ran.stderr
    counted(shop, "prod", days_ago=2)
    ran = shop.run("stale", *SETTLED)
    said = "note: nothing is counted in dev, staging: what is unused cannot be said; --env names"
    assert said in ran.stderr
    ran = shop.run("stale", *SETTLED, "--env", "prod")
    assert ran.code == 0
    assert "unused" not in ran.stdout
    assert "note: prod is counted since 20" in ran.stderr
    assert reasons(shop, "--env", "prod", "--unused-for", "1d")["checkout"] == [
        *("rolled_out", "unused")
    ]
    assert "unused" not in str(reasons(shop, "--unused-for", "1d")), "dev is not counted"


def test_what_was_archived_was_asked_for_unseen(shop: CommandLine) -> None:
    """Whoever asks for an archived flag is told that there is none, and not counted."""
    counted(shop)
    shop.ok("archive", "checkout")
    assert "checkout" not in reasons(shop)
    shop.ok("unarchive", "checkout")
    shop.ok("update", "banner", "--server-only")
    assert reasons(shop) == {"kill_switch": ["unused"]}
    assert "unused" in reasons(shop, "--unused-for", "0s")["checkout"]


def test_a_number_that_cannot_be_read_is_a_use(shop: CommandLine) -> None:
    counted(shop)
    day = keys.usage_key(shop.installation.environment_id("prod"), clock.now().date())
    with redis.Redis.from_url(shop.installation.redis.administrator.reveal()) as raw:
        raw.hset(day, mapping={"checkout\0on": "-1", "\0client": str(2**63)})
    assert reasons(shop) == {"kill_switch": ["unused"]}


@pytest.mark.parametrize("days", [-40, -5, 2, 400, None])
def test_where_clocks_are_far_apart_nothing_is_unused(shop: CommandLine, days: int | None) -> None:
    """Days of one clock say nothing about the days of another."""
    counted(shop)
    began = keys.usage_began_key(shop.installation.environment_id("prod"))
    with redis.Redis.from_url(shop.installation.redis.administrator.reveal()) as raw:
        if days is None:
            raw.hdel(began, "heard")
        else:
            raw.hset(began, "heard", int(clock.now().timestamp()) + days * 86_400)
    ran = shop.run("stale", "-o", "json")
    assert "unused" not in ran.stdout
    assert "what is unused cannot be said" in ran.stderr


def test_what_another_flag_requires_is_asked_unseen(shop: CommandLine) -> None:
    counted(shop)
    shop.ok("rule", "require", "banner", "checkout", "--variant", "on", "--env", "prod")
    assert reasons(shop) == {"banner": ["unused"], "kill_switch": ["unused"]}


@pytest.mark.parametrize("address", ["", "redis://127.0.0.1:1/0"])
def test_without_redis_the_other_reasons_are_shown(shop: CommandLine, address: str) -> None:
    counted(shop)
    ran = shop.run("stale", *SETTLED, "--env", "prod", "-o", "json", FLAGCTL_REDIS_URL=address)
    assert ran.code == 0
    assert {tuple(flag["reasons"]) for flag in ran.json()} == {("rolled_out",)}
    assert "what is unused cannot be said" in ran.stderr
    assert ran.stderr.count("note: ") == 1


def test_what_was_changed_lately_may_not_stay(cli: CommandLine) -> None:
    cli.ok("create", "checkout", "--default", "on")
    cli.ok("create", "banner")
    assert reasons(cli) == {"checkout": ["rolled_out"], "banner": ["same"]}
    for arguments in ((), ("--unchanged-for", "1h")):
        ran = cli.run("stale", *arguments, "--check", "-o", "json")
        assert (ran.code, ran.json()) == (0, [])
    assert "'soon' is no duration" in cli.fails(2, "stale", "--unchanged-for", "soon")


def test_the_shape_and_check(shop: CommandLine) -> None:
    counted(shop)
    ran = shop.run("stale", *SETTLED, "--env", "prod", "--check", "-o", "json")
    assert ran.code == 8
    assert [list(flag) for flag in ran.json()] == [FIELDS] * 3
    assert ran.json()[0]["variant"] == "on"
    assert ran.error()["message"] == "3 flags may be cleaned up"
    ran = shop.run("stale", *SETTLED, "--check", "--env", "prod")
    assert (ran.code, "rolled out, unused" in ran.stdout) == (8, True)
    for key in EVERYWHERE:
        add(shop.installation, {KeyKind.SERVER: 1}, environment=key)
    assert shop.run("stale", *SETTLED, "--check").code == 0


def test_what_is_wrong(shop: CommandLine) -> None:
    assert "did you mean prod?" in shop.fails(5, "stale", "--env", "dev", "--env", "prd")
    assert "'soon' is no duration" in shop.fails(2, "stale", "--unused-for", "soon")
    assert "less than 90 days" in shop.fails(2, "stale", "--unused-for", "90d")
    assert "there is no token" in shop.fails(3, "stale", FLAGCTL_TOKEN="")
    viewer = shop.as_(shop.installation.token_for("viewer"))
    assert viewer.run("stale", *SETTLED).code == 0


def test_an_organization_without_environments(cli: CommandLine) -> None:
    cli.ok("create", "checkout")
    for key in EVERYWHERE:
        cli.ok("env", "delete", key, "--yes")
    ran = cli.run("stale", *SETTLED, "-o", "json")
    assert (ran.code, ran.json()) == (0, [])
    assert "there is no environment" in ran.stderr
