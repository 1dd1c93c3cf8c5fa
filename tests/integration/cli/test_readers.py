"""flagctl readers, and --wait: what read servers say of themselves in Redis."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

import core
from core.cache import keys
from tests.support import readers
from tests.support.command_lines import CommandLine
from tests.support.installations import Installation
from tests.support.readers import Prod, Reader
from tests.support.waiting import eventually

FORGED = "f" * 16


@pytest.fixture
def reader(installation: Installation, prod: Prod, home: Path) -> Iterator[Reader]:
    """A reader that holds prod."""
    with readers.running(home, readers.settings_for(installation)) as running:
        assert running.get("/v1/flags", prod.server_key).status == 200
        yield running


@pytest.fixture
def raw(installation: Installation) -> Iterator[Any]:
    """Redis as an attacker has it."""
    with redis.Redis.from_url(installation.redis.administrator.reveal()) as client:
        yield client


def listed(cli: CommandLine) -> dict[int, dict[str, Any]]:
    return {found["pid"]: found for found in cli.json("readers")["readers"]}


def test_a_write_waits_for_the_readers_that_are_up(
    cli: CommandLine, installation: Installation, reader: Reader, prod: Prod, home: Path
) -> None:
    pid = reader.process.pid
    before = installation.revisions()["prod"]
    eventually(lambda: listed(cli).get(pid, {}).get("revisions") == {"prod": before}, "listed")
    found = listed(cli)[pid]
    assert (found["version"], found["stale"], found["behind"]) == (core.__version__, False, [])
    assert 0 <= found["age_seconds"] < 20
    assert f" {pid} " in cli.ok("readers")
    ran = cli.run("set", "dark_mode", "off", "--env", "prod", "--wait")
    assert ran.code == 0, ran.stderr
    assert f"(pid {pid}, {core.__version__}) serves prod after " in ran.stderr
    assert not reader.get("/v1/flags", prod.server_key).json()["dark_mode"]
    with readers.running(home, readers.settings_for(installation)) as idle:
        # Whoever holds nothing has nothing to follow.
        eventually(lambda: listed(cli).get(idle.process.pid, {}).get("revisions") == {}, "listed")
        (said,) = cli.json("set", "dark_mode", "--env", "prod", "--wait")["readers"]
        assert (said["pid"], said["serves"]) == (pid, installation.revisions()["prod"])
        assert said["revision"] == said["serves"]
        assert 0 < said["milliseconds"] < 10_000
        idle.stop()
        assert idle.process.pid not in listed(cli), "whoever stops says so"


def test_a_reader_that_does_not_follow_is_named(
    cli: CommandLine, installation: Installation, reader: Reader
) -> None:
    pid = reader.process.pid
    eventually(lambda: "prod" in listed(cli).get(pid, {}).get("revisions", {}), "listed")
    before = installation.revisions()["prod"]
    reader.process.send_signal(signal.SIGSTOP)
    arguments = ("set", "dark_mode", "off", "--env", "prod", "--wait", "--timeout", "1s")
    ran = cli.run(*arguments)
    assert ran.code == 8
    assert "dark_mode is off in prod" in ran.stdout
    assert "error: the change is committed, but not every reader serves it: " in ran.stderr
    assert f"(pid {pid}, {core.__version__}) still serves revision {before} of prod" in ran.stderr
    assert installation.revisions()["prod"] == before + 1
    assert listed(cli)[pid]["behind"] == ["prod"]
    assert f"prod {before} (behind)" in cli.ok("readers")
    reader.process.send_signal(signal.SIGCONT)
    eventually(lambda: listed(cli)[pid]["behind"] == [], "it follows")
    assert cli.run("set", "dark_mode", "--env", "prod", "--wait").code == 0


def test_forged_receipts_break_nothing(
    cli: CommandLine, installation: Installation, reader: Reader, raw: Any
) -> None:
    pid = reader.process.pid
    eventually(lambda: "prod" in listed(cli).get(pid, {}).get("revisions", {}), "listed")
    environment = installation.environment_id("prod")
    entry = keys.reader_key(FORGED)
    epoch = installation.ask("SELECT flagctl.epoch()")[0][0]
    fields = {"host": "web-1", "pid": "7", "version": "9", "epoch": epoch, "age": "0.5"}
    fields["holds"] = "0"
    raw.zadd(keys.READERS, {FORGED: 2**52, "x" * 3_000_000: 2**53, b"\xff\x1b]0;": 1, "": 2**40})
    strange: tuple[dict[str, Any], ...] = (
        {"host": "x" * 3_000_000},
        {"host": "\x1b]0;owned\x07"},
        {"host": b"\xff\xfe"},
        {"pid": "9" * 3_000_000},
        {"pid": "-1"},
        {"age": "nan"},
        {"age": "1e999"},
        {"holds": "²"},
        {environment: "x" * 3_000_000},
        {environment: "1.1.1 5"},
        {environment: "1.1.1 5_0 stamp"},
        {environment: f"1.1.1 {10**30} stamp"},
    )
    for lie in strange:
        raw.delete(entry)
        raw.hset(entry, mapping=fields | lie)
        raw.zadd(keys.READERS, {FORGED: time.time()})
        found = listed(cli)
        assert pid in found
        assert 7 not in found or (environment in lie and found[7]["revisions"] == {})
        assert "\x1b" not in cli.ok("readers")
    raw.delete(entry)
    raw.rpush(entry, "x")
    assert cli.run("set", "dark_mode", "off", "--env", "prod", "--wait").code == 0
    # One that is made up well is waited for, and named: a hint is all that it is.
    raw.delete(entry)
    raw.hset(entry, mapping=fields | {environment: f"{'9' * 18}.1.1 {10**17} stamp"})
    raw.zadd(keys.READERS, {FORGED: time.time()})
    ran = cli.run("set", "dark_mode", "--env", "prod", "--wait", "--timeout", "1s")
    assert (ran.code, ran.stderr.count("still serves")) == (8, 1)
    assert "web-1 (pid 7, 9) still serves" in ran.stderr
    raw.delete(keys.READERS, entry)
    raw.set(keys.READERS, "x")
    assert cli.json("readers") == {"readers": []} or pid in listed(cli)
    eventually(lambda: pid in listed(cli), "the list is made anew")


def test_waiting_that_cannot_be(cli: CommandLine, installation: Installation, prod: Prod) -> None:
    write = ("set", "dark_mode", "off", "--env", "prod")
    assert "REDIS_URL is not set" in cli.fails(2, *write, "--wait", FLAGCTL_REDIS_URL="")
    assert "'soon' is no duration" in cli.fails(2, *write, "--wait", "--timeout", "soon")
    assert "--timeout goes with --wait" in cli.fails(2, *write, "--timeout", "5s")
    ran = cli.run(*write, "--wait", FLAGCTL_REDIS_URL="redis://127.0.0.1:1/0")
    assert ran.code == 8
    assert "the change is committed, but Redis cannot say who serves it" in ran.stderr
    made = cli.run(
        *("key", "create", "web", "--env", "prod", "--wait", "-o", "json"),
        FLAGCTL_REDIS_URL="redis://127.0.0.1:1/0",
    )
    assert made.code == 8
    assert made.json()["key"], "what is shown once only is shown"
    assert "Redis cannot be reached" in cli.fails(
        7, "readers", FLAGCTL_REDIS_URL="redis://127.0.0.1:1/0"
    )
    ran = cli.run("set", "dark_mode", "--env", "prod", "--wait", "--dry-run")
    assert (ran.code, ran.stderr) == (0, "")
