"""flagctl set."""

import os
import re
import shlex
import subprocess
import sys

import pytest

from tests.support.command_lines import CommandLine


@pytest.fixture
def cli(cli: CommandLine) -> CommandLine:
    """With one flag."""
    cli.ok("create", "new_checkout", "--description", "New checkout flow")
    return cli


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


def test_the_environment_has_a_default(cli: CommandLine) -> None:
    ran = cli.json("set", "new_checkout", FLAGCTL_ENV="staging")
    assert ran["environment"] == "staging"


def test_if_revision_is_the_environments(cli: CommandLine) -> None:
    assert cli.fails(6, "set", "new_checkout", "--env", "prod", "--if-revision", 1) == (
        "error: the revision of prod is 2 now, not 1: it changed meanwhile\n"
        "hint: look at it again, then repeat with the new number\n"
    )
    beyond = cli.fails(6, "set", "new_checkout", "--env", "prod", "--if-revision", 10**30)
    assert beyond.startswith(f"error: the revision of prod is 2 now, not {10**30}:")
    assert cli.json("set", "new_checkout", "--env", "prod", "--if-revision", 2)["revision"] == 3


def test_reasons_reach_the_log(cli: CommandLine) -> None:
    cli.ok("set", "new_checkout", "--env", "prod", "--reason", "launch – día 1 🚀")
    assert cli.json("audit", "list", "--limit", 1)[0]["reason"] == "launch – día 1 🚀"


@pytest.mark.parametrize(
    "typed",
    [
        "set layout compact --env dev",
        "set layout off --env dev",
        "list --env dev --state on",
        "show layout",
        "eval layout --env dev",
        "explain layout --env dev",
        "whoami",
    ],
)
def test_what_is_typed_most_needs_no_sqlalchemy(layout: CommandLine, typed: str) -> None:
    """It takes as long to load as all the rest."""
    ran = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "flagctl", *typed.split()],
        env={**os.environ, **layout.environ},
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(re.findall(r"\| +([a-z]+)", ran.stderr))
    assert "psycopg" in loaded
    assert "sqlalchemy" not in loaded


UNDER_THE_LOCK = """
import contextlib, sys
from core.services import change
running = change.running
@contextlib.contextmanager
def watched(*given):
    before = set(sys.modules)
    try:
        with running(*given) as opened:
            yield opened
    finally:
        print(*sorted(set(sys.modules) - before), file=sys.stderr)
change.running = watched
from flagctl.main import run
run()
"""


@pytest.mark.parametrize(
    ("typed", "code"),
    [
        ("set layout compact --env dev", 0),
        ("set layout --rollout 25 --env dev", 0),
        ("set nothing --env dev", 5),
        ("rule add layout --env dev --if 'plan == \"pro\"' --serve compact", 0),
    ],
)
def test_nothing_is_loaded_under_the_lock(layout: CommandLine, typed: str, code: int) -> None:
    """Everybody else who writes would wait for it."""
    ran = subprocess.run(
        [sys.executable, "-c", UNDER_THE_LOCK, *shlex.split(typed)],
        env={**os.environ, **layout.environ},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == code, ran.stderr
    loaded = ran.stderr.splitlines()[0].split()
    assert not [name for name in loaded if name.startswith(("core", "sqlalchemy"))]
