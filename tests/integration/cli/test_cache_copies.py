"""flagctl cache status, verify, repair and flush: the copies in Redis against Postgres."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import redis

from core.cache import keys
from flagctl import copies
from tests.support import readers
from tests.support.command_lines import CommandLine
from tests.support.installations import Installation
from tests.support.readers import switch
from tests.support.waiting import eventually

NAMES = ("default/dev", "default/staging", "default/prod")
AWAY = {"FLAGCTL_REDIS_URL": "redis://:needle@127.0.0.1:1/0"}


@pytest.fixture
def raw(installation: Installation) -> Iterator[Any]:
    """Redis as an attacker has it."""
    with redis.Redis.from_url(installation.redis.administrator.reveal()) as client:
        yield client


def verdicts(document: Mapping[str, Any]) -> dict[str, str]:
    return {copy["environment"]: copy["verdict"] for copy in document["environments"]}


def test_copies_are_compared_and_made_right(
    cli: CommandLine, installation: Installation, raw: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "_PAUSE_SECONDS", 0.0)
    readers.fill(installation)
    assert verdicts(cli.json("cache", "verify")) == dict.fromkeys(NAMES, "none")
    repaired = cli.json("cache", "repair")["environments"]
    assert {copy["verdict"] for copy in repaired} == {"same"}
    assert all(copy["digest"] == copy["copy_digest"] for copy in repaired)
    assert verdicts(cli.json("cache", "verify")) == dict.fromkeys(NAMES, "same")
    entry = keys.snapshot_key(installation.environment_id("prod"))
    true = raw.hgetall(entry)
    wrong: tuple[tuple[str, Any, str], ...] = (
        ("mac", b"\0" * 32, "unsealed"),
        ("data", true[b"data"].replace(b"dark_mode", b"dark_mood"), "unsealed"),
        ("data", b"x" * 3_000_000, "unsealed"),
        ("data", b"", "marked"),
        ("revision", b"9" * 18, "newer"),
        ("revision", b"1", "older"),
        ("revision", b"9" * 3_000_000, "unsealed"),
        ("revision", b"05", "unsealed"),
        ("epoch", b"1.1.1", "different"),
        ("stamp", b"\x1b]0;", "different"),
    )
    for field, value, verdict in wrong:
        raw.hset(entry, field, value)
        is_right = verdict == "marked"
        ran = cli.run("cache", "verify", "-o", "json")
        assert (ran.code, verdicts(ran.json())["default/prod"]) == (0 if is_right else 8, verdict)
        assert is_right or "1 of 3 copies in Redis are not what" in ran.error()["message"]
        assert verdicts(cli.json("cache", "repair"))["default/prod"] == "same"
        assert raw.hgetall(entry) == true
    raw.delete(entry)
    raw.set(entry, "x" * 1_000_000)
    assert verdicts(cli.run("cache", "status", "-o", "json").json())["default/prod"] == "unsealed"
    assert "unsealed" in cli.run("cache", "verify").stdout
    assert "default/prod" in cli.ok("cache", "repair")
    assert raw.hgetall(entry) == true
    switch(installation, "off")  # nobody tells Redis
    assert verdicts(cli.json("cache", "status"))["default/prod"] == "older"
    assert cli.run("cache", "verify").code == 8
    cli.ok("cache", "repair")
    assert raw.hget(entry, "revision") == str(installation.revisions()["prod"]).encode()


def test_flush_leaves_nothing_that_an_older_copy_could_replace(
    cli: CommandLine, installation: Installation, raw: Any, home: Path
) -> None:
    prod = readers.fill(installation)
    entry = keys.snapshot_key(installation.environment_id("prod"))
    with readers.running(home, readers.settings_for(installation)) as reader:
        assert reader.get("/v1/flags", prod.server_key).status == 200
        eventually(lambda: raw.hexists(entry, "data"), "the copy is in Redis")
        assert cli.ok("cache", "flush") == "dropped the copies of 3 environments\n"
        assert verdicts(cli.json("cache", "status")) == dict.fromkeys(NAMES, "marked")
        assert raw.hget(entry, "revision") == str(installation.revisions()["prod"]).encode()
        assert reader.get("/v1/flags", prod.server_key).headers["x-cache"] == "memory"
        ran = cli.run("set", "dark_mode", "off", "--env", "prod", "--wait")
        assert ran.code == 0
        eventually(lambda: verdicts(cli.json("cache", "verify"))["default/prod"] == "same", "new")


@pytest.mark.parametrize("command", ["status", "verify", "repair", "flush"])
def test_what_is_missing_or_away(stable: CommandLine, command: str) -> None:
    assert "Redis cannot be reached" in stable.fails(7, "cache", command, **AWAY)
    for name in ("REDIS_URL", "READER_DATABASE_URL"):
        said = stable.fails(2, "cache", command, **{f"FLAGCTL_{name}": ""})
        assert f"FLAGCTL_{name} is not set" in said
