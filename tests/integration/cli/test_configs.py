"""flagctl config define, set, unset, get, list, show, update, delete."""

import json
from pathlib import Path

import pytest
import yaml

from tests.support.command_lines import CommandLine


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """With one config, without a value."""
    cli.ok("config", "define", "checkout_timeout", "--type", "integer", "-d", "Seconds")
    return cli


def test_define(cli: CommandLine) -> None:
    assert cli.ok("config", "define", "t", "--type", "number") == "defined t: number · audit 6\n"
    assert cli.json("config", "define", "u", "--type", "array", "--client-visible") == {
        "config": "u",
        "type": "array",
        "changed": True,
        "revision": None,
        "revisions": {},
        "audit_id": 7,
    }
    assert cli.fails(6, "config", "define", "t", "--type", "string") == (
        "error: the config 't' exists already\nhint: `flagctl config show t`\n"
    )
    assert "'int' is no type" in cli.fails(2, "config", "define", "v", "--type", "int")
    assert "Missing option '--type'" in cli.fails(2, "config", "define", "v")
    assert "is not a valid config key" in cli.fails(2, "config", "define", "V", "--type", "string")


def test_set_and_get(cli: CommandLine) -> None:
    assert cli.ok("config", "set", "checkout_timeout", "30", "--env", "prod") == (
        "checkout_timeout is 30 in prod · revision 2 of prod, audit 6\n"
    )
    assert cli.ok("config", "set", "checkout_timeout", "30", "--env", "prod") == (
        "checkout_timeout was already 30 in prod\n"
    )
    assert cli.json("config", "set", "checkout_timeout", "31", "--env", "prod") == {
        "config": "checkout_timeout",
        "environment": "prod",
        "value": 31,
        "changed": True,
        "revision": 3,
        "revisions": {"prod": 3},
        "audit_id": 7,
    }
    assert cli.ok("config", "get", "checkout_timeout", "--env", "prod") == "31\n"
    assert cli.fails(5, "config", "get", "checkout_timeout", "--env", "dev") == (
        "error: checkout_timeout has no value in dev\n"
        "hint: `flagctl config set checkout_timeout JSON --env dev` gives it one\n"
    )


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        ("boolean", "false"),
        ("string", '"día 🚀 \\u0007"'),
        ("string", '""'),
        ("integer", "9223372036854775808"),
        ("integer", "-" + "9" * 4000),
        ("number", "100.0"),
        ("number", "1.7976931348623157e308"),
        ("number", "7"),
        ("object", '{"z": {"": [null, 1, 1.0, "1"]}, "a": {}}'),
        ("array", "[[], {}]"),
        ("array", "[" * 64 + "]" * 64),
    ],
)
def test_values_come_back_equal(cli: CommandLine, type_: str, text: str) -> None:
    cli.ok("config", "define", "c", "--type", type_)
    cli.ok("config", "set", "c", "--env", "dev", "--", text)
    for got in (cli.value("c", "dev"), cli.json("config", "list", "--match", "c")[0]):
        value = got["values"]["dev"] if isinstance(got, dict) and "values" in got else got
        assert (value, type(value)) == (json.loads(text), type(json.loads(text)))
    assert yaml.safe_load(cli.ok("config", "get", "c", "-e", "dev", "-o", "yaml")) == (
        json.loads(text)
    )


def test_a_value_from_stdin(cli: CommandLine) -> None:
    cli.ok("config", "define", "big", "--type", "string")
    text = "é" * 1_000_000
    cli.ok("config", "set", "big", "-", "--env", "dev", stdin=json.dumps(text))
    assert cli.value("big", "dev") == text
    said = cli.fails(2, "config", "set", "big", "-", "--env", "dev", stdin=b'"\xff"')
    assert said.startswith("error: the value of big is not UTF-8: byte 1")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not valid: Expecting value at line 1, column 1"),
        ("abc", "hint: text needs double quotes: '\"like this\"'"),
        ("1 2", "is not valid: Extra data at line 1, column 3"),
        ("3.5", "is an integer, and 3.5 is a number"),
        ("30.0", "is an integer, and 30.0 is a number"),
        ('"30"', 'is an integer, and "30" is a string'),
        ("true", "is an integer, and true is a boolean"),
        ("null", "cannot be null"),
        ("NaN", "JSON has no NaN"),
        ("-Infinity", "JSON has no -Infinity"),
        ('{"a": 1, "a": 2}', "the key 'a' stands twice in $"),
        ('{"a": {"b": "\\u0000"}}', "$.a.b has a NUL character"),
        ('["\\ud800"]', "$[0] has half of a surrogate pair"),
        ("[" * 65 + "]" * 65, "nested deeper than 64 levels"),
        ("[" * 100_000, "nested deeper than 64 levels"),
        ("9" * 4001, "more than 4000 digits"),
        ("[1e400]", "1e400 at $[0] cannot be held by a double"),
        ("0.1234567890123456789", "cannot be held by a double without loss"),
        ("\ud800", "is not valid UTF-8 text"),
    ],
)
def test_bad_values(stable: CommandLine, text: str, said: str) -> None:
    ran = stable.fails(2, "config", "set", "checkout_timeout", "--env", "prod", "--", text)
    assert said in ran
    assert len(ran) < 500


def test_a_schema_bounds_values(cli: CommandLine, tmp_path: Path) -> None:
    schema = tmp_path / "schema.json"
    schema.write_text('{"properties": {"a": {"type": "array", "items": {"maximum": 5}}}}')
    cli.ok("config", "define", "limits", "--type", "object", "--schema", schema)
    cli.ok("config", "set", "limits", '{"a": [1, 5]}', "--env", "dev")
    assert cli.fails(2, "config", "set", "limits", '{"a": [1, 9]}', "--env", "dev") == (
        "error: the value of limits does not fit its schema: at $.a[1]: "
        "9 is greater than the maximum of 5\n"
    )
    schema.write_text('{"properties": {"a": {"items": {"maximum": 4}}}}')
    assert "the value in dev does not fit its schema: at $.a[1]" in cli.fails(
        2, "config", "update", "limits", "--schema", schema
    )
    cli.ok("config", "update", "limits", "--no-schema")
    cli.ok("config", "set", "limits", '{"a": [1, 9]}', "--env", "dev")


def test_a_negative_number_needs_two_dashes(stable: CommandLine) -> None:
    assert stable.fails(2, "config", "set", "checkout_timeout", "-5", "--env", "dev") == (
        "error: there is no option -5\n"
        "hint: a value that begins with - stands at the end, after --: `… -- -5`\n"
    )


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "is not valid"),
        (b"[]", "a JSON Schema is an object"),
        (b'{"type": "strin"}', "the schema is not a valid JSON Schema: at $.type"),
        (b'{"$schema": 5}', "the schema's `$schema` is no address"),
        (b"\xff", "is not UTF-8"),
        (None, "cannot be read: No such file or directory"),
    ],
)
def test_bad_schemas(stable: CommandLine, tmp_path: Path, content: bytes | None, said: str) -> None:
    schema = tmp_path / "schema.json"
    if content is not None:
        schema.write_bytes(content)
    assert said in stable.fails(2, "config", "define", "c", "--type", "object", "--schema", schema)


def test_unset(cli: CommandLine) -> None:
    cli.ok("config", "set", "checkout_timeout", "30", "--env", "prod")
    assert cli.ok("config", "unset", "checkout_timeout", "--env", "prod") == (
        "checkout_timeout has no value in prod any more · revision 3 of prod, audit 7\n"
    )
    assert cli.ok("config", "unset", "checkout_timeout", "--env", "prod") == (
        "checkout_timeout has no value in prod\n"
    )
    assert "has no value in prod" in cli.fails(5, "config", "get", "checkout_timeout", "-e", "prod")


def test_list_and_show(cli: CommandLine) -> None:
    cli.ok("config", "set", "checkout_timeout", "30", "--env", "prod")
    lines = cli.ok("config", "list").splitlines()
    assert [line.split() for line in (lines[0], lines[2])] == [
        ["config", "type", "prod", "description"],
        ["checkout_timeout", "integer", "30", "Seconds"],
    ]
    cli.ok("config", "define", "later", "--type", "integer")
    cli.ok("config", "set", "later", "1", "--env", "dev")
    heads = cli.ok("config", "list").split()[:5]
    assert heads == ["config", "type", "dev", "prod", "description"]
    assert list(cli.json("config", "list")[0]) == [
        *("key", "type", "values", "description", "updated_at"),
    ]
    shown = cli.json("config", "show", "checkout_timeout")
    assert list(shown) == [
        *("key", "type", "schema", "description", "client_visible", "version"),
        *("created_at", "updated_at", "values"),
    ]
    assert shown["values"] == {"prod": 30}
    assert "description     Seconds\n" in cli.ok("config", "show", "checkout_timeout")
    assert cli.fails(5, "config", "show", "checkout_timout") == (
        "error: there is no config 'checkout_timout'\nhint: did you mean checkout_timeout?\n"
    )


def test_update(cli: CommandLine) -> None:
    assert cli.ok("config", "update", "checkout_timeout", "-d", "In seconds") == (
        "updated checkout_timeout · audit 6\n"
    )
    assert cli.ok("config", "update", "checkout_timeout", "-d", "In seconds") == (
        "checkout_timeout: nothing to change\n"
    )
    assert "nothing to change is named" in cli.fails(2, "config", "update", "checkout_timeout")
    assert "is 2 now, not 1" in cli.fails(
        6, "config", "update", "checkout_timeout", "-d", "x", "--if-revision", 1
    )


def test_delete(cli: CommandLine) -> None:
    cli.ok("config", "set", "checkout_timeout", "30", "--env", "prod")
    assert "needs a word" in cli.fails(2, "config", "delete", "checkout_timeout")
    dry = cli.json("config", "delete", "checkout_timeout", "--dry-run")
    assert [event["action"] for event in dry["events"]] == ["delete", "delete"]
    assert cli.value("checkout_timeout") == 30
    cli.ok("config", "delete", "checkout_timeout", "--yes")
    ran = cli.run("config", "list")
    assert (ran.stdout, ran.stderr) == (
        "",
        "no configs; `flagctl config define KEY --type TYPE`\n",
    )
