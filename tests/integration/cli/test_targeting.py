"""flagctl rule, segment, rollout, set --rollout, eval and explain."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command_lines import CommandLine
from tests.support.installations import Cluster

LAYOUT = (
    *("create", "checkout_layout", "--type", "string", "--variant", 'classic="classic"'),
    *("--variant", 'compact="compact"', "--on-variant", "classic", "--off-variant", "classic"),
)
BETA = 'email ends_with "@example.com" or country in ["DE", "FR"]'
NEW_ENOUGH = 'segment("beta") and app_version >= semver("2.1.0")'


@pytest.fixture
def shop(cli: CommandLine) -> CommandLine:
    """The quick start of targeting."""
    cli.ok(*LAYOUT)
    cli.ok("create", "new_checkout")
    cli.ok("set", "checkout_layout", "on", "--env", "prod")
    cli.ok("segment", "create", "beta", "--if", BETA)
    add = ("rule", "add", "checkout_layout", "--env", "prod")
    cli.ok(*add, "--if", NEW_ENOUGH, "--serve", "compact")
    split = ("--split", "classic=90,compact=10", "--by", "company_id")
    cli.ok(*add, "--if", 'plan == "pro"', *split)
    return cli


@pytest.fixture(scope="module")
def world(cluster: Cluster) -> Iterator[CommandLine]:
    """The same, for tests that change nothing."""
    with cluster.installation() as installation:
        cli = CommandLine(installation, installation.environ())
        yield shop.__wrapped__(cli)  # type: ignore[attr-defined]


def evaluated(cli: CommandLine, *arguments: str) -> dict[str, object]:
    found: dict[str, object] = cli.json("eval", "checkout_layout", "--env", "prod", *arguments)
    return found


def test_evaluating(world: CommandLine) -> None:
    found = evaluated(
        world, "--targeting-key", "u1", "--context", "country=DE", "--context", "app_version=2.3.0"
    )
    rule = world.json("rule", "list", "checkout_layout", "--env", "prod")[0]["id"]
    assert found == {
        "key": "checkout_layout",
        "value": "compact",
        "variant": "compact",
        "reason": "TARGETING_MATCH",
        "rule": rule,
        "environment": "prod",
        "revision": found["revision"],
        "version": found["version"],
    }
    assert evaluated(world)["reason"] == "DEFAULT"
    assert evaluated(world, "--context", "plan=pro")["reason"] == "DEFAULT"
    assert evaluated(world, "-c", "plan=pro", "-c", "company_id=7")["reason"] == "SPLIT"
    assert 'checkout_layout is "classic" in prod · variant classic, DEFAULT' in world.ok(
        "eval", "checkout_layout", "--env", "prod"
    )


def test_a_gate_for_pipelines(world: CommandLine) -> None:
    arguments = ("eval", "new_checkout", "--env", "prod", "--test")
    ran = world.run(*arguments, "true")
    assert (ran.code, ran.stderr) == (8, "error: new_checkout is false, not true\n")
    world.ok(*arguments, "false")
    layout = ("eval", "checkout_layout", "--env", "prod", "--test")
    world.ok(*layout, "classic")
    world.ok(*layout, '"classic"')
    assert "there is no flag 'nope'" in world.fails(5, "eval", "nope", "--env", "prod")


def test_contexts_from_files(world: CommandLine, tmp_path: Path) -> None:
    one = tmp_path / "context.json"
    one.write_text(json.dumps({"country": "DE", "app_version": "3.0.0"}))
    assert evaluated(world, "--context-file", str(one))["variant"] == "compact"
    assert evaluated(world, "--context-file", str(one), "-c", "country=US")["variant"] == "classic"
    many = tmp_path / "users.jsonl"
    lines = [{"targetingKey": f"u{n}", "country": "DE", "app_version": "2.1.0"} for n in range(3)]
    many.write_text("\n".join(map(json.dumps, [*lines, {"targetingKey": "x"}])))
    arguments = ("eval", "checkout_layout", "--env", "prod", "--contexts", str(many))
    rows = world.json(*arguments)
    assert [row["targeting_key"] for row in rows] == ["u0", "u1", "u2", "x"]
    summary = world.json(*arguments, "--summary")
    assert [(row["variant"], row["count"], row["percent"]) for row in summary] == [
        ("compact", 3, 75.0),
        ("classic", 1, 25.0),
    ]
    many.write_text('{"a": 1}\n{"a": 1, "a": 2}\n')
    assert f"line 2 of {many}" in world.fails(2, *arguments)
    assert "cannot be read" in world.fails(2, *arguments[:-1], str(tmp_path / "none"))


def test_contexts_are_read_as_servers_read_them(world: CommandLine, tmp_path: Path) -> None:
    file = tmp_path / "contexts"
    where = ("eval", "checkout_layout", "--env", "prod", "--contexts", str(file))
    odd = ["\0", "\u2028", "\x85", "12345678901234567890.123456789"]
    lines = [f'{{"targetingKey": {json.dumps(k, ensure_ascii=k == odd[0])}}}\r\n' for k in odd]
    file.write_text("".join([*lines, '{"n": 0.12345678901234567890123}']), newline="")
    assert [row["targeting_key"] for row in world.json(*where)] == [*odd, None]
    file.write_bytes('{"targetingKey": "é"}\n{"targetingKey": "中"}\n'.encode("utf-16"))
    assert [row["targeting_key"] for row in world.json(*where)] == ["é", "中"]
    file.write_bytes(b'\xff\xfe{\0"\0"')
    assert f"{file} is not UTF-16" in world.fails(2, *where)
    file.write_bytes(b'{"a": "\xff"}')
    assert f"line 1 of {file} is not UTF-8" in world.fails(2, *where)
    file.write_bytes('{"country": "DE", "app_version": "3.0.0"}'.encode("utf-16"))
    assert evaluated(world, "--context-file", str(file))["variant"] == "compact"
    deep = "[" * 65 + "]" * 65
    for text, words in (
        ('{"a": "\\ud800"}', "$.a has half of a surrogate pair"),
        ('{"a": [1e400]}', "$.a[0] is larger than a double holds"),
        (f'{{"a": {deep}}}', "nested deeper than 64"),
        ('{"a": ' + "[" * 100_000, "nested too deeply"),
        ('{"a": NaN}', "JSON has no NaN"),
        (f'{{"a": {"1" * 5_000}}}', "has a number of too many digits"),
        ("[]", "is no JSON object"),
    ):
        file.write_text(text)
        assert words in world.fails(2, *where[:-2], "--context-file", str(file)), text
    for value, words in (
        ("1e400", "n is larger than a double holds"),
        (deep, "deeper than 64"),
        ("[" * 100_000, "n is nested too deeply"),
        ('{"x": 1, "x": 2}', "n: the key 'x' stands twice"),
        ('{"x": NaN}', "n: JSON has no NaN"),
    ):
        assert words in world.fails(2, *where[:-2], "-c", f"n={value}"), value
    assert evaluated(world, "-c", "n=NaN")["reason"] == "DEFAULT"  # no JSON: a text


def test_explaining(world: CommandLine) -> None:
    said = world.ok(
        *("explain", "checkout_layout", "--env", "prod", "--targeting-key", "u1"),
        *("--context", "country=DE", "--context", "plan=pro", "--context", "company_id=acme"),
    )
    assert '✗ app_version >= semver("2.1.0")  (app_version is missing)' in said
    assert '✓ country in ["DE", "FR"]  (country is "DE")' in said
    assert '✓ plan == "pro"  (plan is "pro")' in said
    assert "bucket " in said
    assert "→ 2. rule" in said
    document = world.json("explain", "checkout_layout", "--env", "prod")
    assert document["explanation"]["default"] == {"variant": "classic"}
    assert "→ it is off" in world.ok("explain", "new_checkout", "--env", "prod")


def test_a_rollout(shop: CommandLine) -> None:
    said = shop.ok("set", "new_checkout", "--env", "prod", "--rollout", "25")
    assert said.startswith("new_checkout is on for 25 % in prod")
    served = shop.json("show", "new_checkout")["environments"][2]
    assert (served["variant"], served["percent"]) == ("on", 25)
    found = shop.json("eval", "new_checkout", "--env", "prod")
    assert (found["value"], found["error"]) == (False, "TARGETING_KEY_MISSING")
    before = {
        n: shop.json("eval", "new_checkout", "--env", "prod", "-k", f"u{n}")["value"]
        for n in range(6)
    }
    shop.ok("set", "new_checkout", "--env", "prod", "--rollout", "100")
    shop.ok("set", "new_checkout", "--env", "prod", "--rollout", "25")
    after = {
        n: shop.json("eval", "new_checkout", "--env", "prod", "-k", f"u{n}")["value"]
        for n in range(6)
    }
    assert after == before
    assert shop.ok("rollout", "reshuffle", "new_checkout").startswith("reshuffled new_checkout")
    for bad in ("-1", "101", "nan", "x"):
        shop.fails(2, "set", "new_checkout", "--env", "prod", "--rollout", bad)
    shop.fails(2, "set", "new_checkout", "off", "--env", "prod", "--rollout", "5")
    shop.ok("set", "new_checkout", "on", "--env", "prod")
    assert shop.json("eval", "new_checkout", "--env", "prod")["reason"] == "STATIC"


def test_rules_in_their_order(shop: CommandLine) -> None:
    where = ("checkout_layout", "--env", "prod")
    first, second = (rule["id"] for rule in shop.json("rule", "list", *where))
    shop.ok("rule", "move", where[0], second, *where[1:], "--position", "1")
    assert [r["id"] for r in shop.json("rule", "list", *where)] == [second, first]
    shop.ok("rule", "update", where[0], first, *where[1:], "--if", "true", "-d", "all")
    shown = shop.json("rule", "show", where[0], first, *where[1:])
    assert (shown["if"], shown["description"], shown["position"]) == ("true", "all", 2)
    shop.ok("rule", "remove", where[0], second, *where[1:])
    assert [r["id"] for r in shop.json("rule", "list", *where)] == [first]
    assert "has no rule" in shop.fails(5, "rule", "remove", where[0], second, *where[1:])
    assert "position is 1 to 1" in shop.fails(
        2, "rule", "move", where[0], first, *where[1:], "--position", "9"
    )
    table = shop.ok("rule", "list", *where)
    assert "compact" in table


def test_segments(shop: CommandLine) -> None:
    assert shop.json("segment", "show", "beta")["used_by"] == [
        {"environment": "prod", "flag": "checkout_layout", "segment": None}
    ]
    said = shop.fails(6, "segment", "delete", "beta", "--yes")
    assert "used by checkout_layout in prod" in said
    before = shop.json("env", "list")
    shop.ok("segment", "update", "beta", "--if", 'country == "US"')
    raised = [
        after["key"]
        for earlier, after in zip(before, shop.json("env", "list"), strict=True)
        if after["revision"] > earlier["revision"]
    ]
    assert raised == ["prod"]
    found = evaluated(shop, "-c", "country=US", "-c", "app_version=2.1.0")
    assert found["variant"] == "compact"
    shop.ok("segment", "create", "wide", "--if", 'segment("beta") or plan == "x"')
    assert "the segment wide" in shop.fails(6, "segment", "delete", "beta", "--yes")
    circle = shop.fails(2, "segment", "update", "beta", "--if", 'segment("wide")')
    assert "leads back to" in circle
    shop.ok("segment", "delete", "wide", "--yes")
    assert [s["key"] for s in shop.json("segment", "list")] == ["beta"]


def test_prerequisites(shop: CommandLine) -> None:
    require = ("rule", "require", "new_checkout", "checkout_layout", "--env", "prod")
    shop.ok("set", "new_checkout", "--env", "prod")
    shop.ok(*require, "--variant", "compact")
    said = shop.ok("explain", "new_checkout", "--env", "prod")
    assert "✗ requires checkout_layout to serve compact: it serves classic" in said
    assert "is a prerequisite of new_checkout in prod" in shop.fails(
        6, "archive", "checkout_layout"
    )
    back = ("rule", "require", "checkout_layout", "new_checkout", "--env", "prod")
    assert "would require itself" in shop.fails(2, *back, "--variant", "on")
    assert "has no variant 'x'" in shop.fails(2, *require, "--variant", "x")
    unknown = ("rule", "require", "new_checkout", "checkout_layot", "--env", "prod")
    assert "did you mean checkout_layout" in shop.fails(5, *unknown, "--variant", "on")
    shop.ok("rule", "unrequire", "new_checkout", "checkout_layout", "--env", "prod")
    assert shop.json("eval", "new_checkout", "--env", "prod")["reason"] == "STATIC"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--if", "plan = 1", "--serve", "compact"), "column 6 of the condition"),
        (("--if", 'plan == "a"', "--serve", "none"), "there is no variant 'none'"),
        (("--if", 'segment("bta")', "--serve", "compact"), "did you mean beta?"),
        (("--if", 'v > semver("1")', "--serve", "compact"), "is not a version"),
        (("--if", 'a matches "("', "--serve", "compact"), "not a pattern of RE2"),
        (("--if", 'a in cidr("1.2.3.4/8")', "--serve", "compact"), "not a network"),
        (("--if", "true", "--split", "compact=0"), "add up to nothing"),
        (("--if", "true", "--split", "compact"), "is no arm of a split"),
        (("--if", "true"), "a rule needs --if CONDITION and --serve"),
        (("--if", "true", "--serve", "compact", "--position", "9"), "position is 1 to 3"),
        (("--if", "not " * 50 + "true", "--serve", "compact"), "nested deeper than 32"),
    ],
)
def test_bad_rules_are_refused_and_nothing_is_written(
    world: CommandLine, arguments: tuple[str, ...], said: str
) -> None:
    before = world.json("rule", "list", "checkout_layout", "--env", "prod")
    assert said in world.fails(2, "rule", "add", "checkout_layout", "--env", "prod", *arguments)
    assert world.json("rule", "list", "checkout_layout", "--env", "prod") == before


def test_the_bounds_are_settings(shop: CommandLine) -> None:
    where = ("checkout_layout", "--env", "prod")
    add = ("rule", "add", *where, "--serve", "compact", "--if")
    deep, long = "not " * 32 + "plan == 1", "plan in [1, 2, 3]"
    for condition, setting, value, said in (
        (deep, "CONDITION_DEPTH", "32", "nested deeper than 32"),
        ("a == 1 and b == 2", "CONDITION_PARTS", "2", "more than 2 conditions"),
        (long, "LIST_VALUES", "2", "a list of at most 2 values, not 3"),
        ("true", "FLAG_RULES", "2", "rules: more than 2"),
    ):
        refused = shop.fails(2, *add, condition, **{f"FLAGCTL_{setting}": value})
        assert said in refused
        assert refused.endswith(f"hint: the setting FLAGCTL_{setting} is the bound\n")
    segment = ("segment", "update", "beta", "--if", long)
    assert "LIST_VALUES is the bound" in shop.fails(2, *segment, FLAGCTL_LIST_VALUES="2")
    shop.ok(*add, deep, FLAGCTL_CONDITION_DEPTH="33")
    rules = [rule["id"] for rule in shop.json("rule", "list", *where)]
    small = {"FLAGCTL_CONDITION_DEPTH": "1", "FLAGCTL_FLAG_RULES": "1"}
    move = ("rule", "move", where[0], rules[-1], *where[1:], "--position", "1")
    shop.ok(*move, **small)
    shop.ok("rule", "remove", where[0], rules[0], *where[1:], **small)
    assert shop.json("eval", *where, FLAGCTL_CONDITION_DEPTH="1")["reason"] == "DEFAULT"


def test_what_grows_must_not_be_too_much_for_its_users(shop: CommandLine) -> None:
    wide = " or ".join('segment("beta")' for _ in range(900))
    shop.ok("segment", "create", "wide", "--if", wide, FLAGCTL_CONDITION_PARTS="10000")
    ten = " or ".join(f"a == {n}" for n in range(10))
    said = shop.fails(6, "segment", "update", "beta", "--if", f"{ten} or b == 1")
    assert "the segment wide would be too large, or nested too deep" in said
    shop.ok("segment", "delete", "wide", "--yes")
    where = ("checkout_layout", "--env", "prod")
    add = ("rule", "add", *where, "--serve", "compact", "--if", wide)
    shop.ok(*add, FLAGCTL_CONDITION_PARTS="10000")
    said = shop.fails(6, "segment", "update", "beta", "--if", ten)
    assert "of checkout_layout in prod would not work any more: any[833]: more than" in said
    shop.ok("segment", "update", "beta", "--if", "a == 1")


def test_a_variant_that_a_rule_serves_stays(world: CommandLine) -> None:
    said = world.fails(6, "update", "checkout_layout", "--remove-variant", "compact")
    assert "would not work any more in prod: rules[0].serve.variant" in said
