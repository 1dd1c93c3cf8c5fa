"""flagctl watch: a process of its own, which is told to stop as a terminal does."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from core.services import flags
from tests.support.command_lines import CommandLine


@contextmanager
def watching(cli: CommandLine, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """Once it follows."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("FLAGCTL_", "PG"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "flagctl", "watch", *options],
        env={**clean, **cli.environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hear_the_terminal,
    )
    try:
        assert process.stderr is not None
        assert "Ctrl-C ends it" in process.stderr.readline()
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)


def _hear_the_terminal() -> None:
    """Tests that run in the background ignore what a terminal sends, and so would it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def line(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_changes_of_an_environment_and_all(cli: CommandLine) -> None:
    cli.ok("create", "before")
    with watching(cli, "--env", "prod") as prod, watching(cli, "-o", "json") as all_:
        cli.ok("create", "new_checkout")
        cli.ok("set", "new_checkout", "--env", "dev")
        cli.ok("set", "new_checkout", "--env", "prod", "--reason", "launch")
        events = [json.loads(line(all_)) for _ in range(3)]
        newest = cli.json("audit", "list", "--limit", 3)
        assert events == newest[::-1]
        with cli.installation.change() as change:
            for number in range(25):
                flags.create_flag(change, flags.Definition(f"flag_{number}"))
        keys = [json.loads(line(all_))["entity_key"] for _ in range(25)]
        assert keys == [f"flag_{number}" for number in range(25)], "more than a page at once"
        created, changed = line(prod), line(prod)
        assert "create feature new_checkout   " in created, "it raised prod's revision"
        assert changed.split("   ")[1:] == [
            "admin@example.com",
            "update feature new_checkout in prod",
            "enabled: null → true",
            f"→ prod {newest[0]['revisions']['prod']}",
            "(launch)\n",
        ]
        with psycopg.connect(
            cli.installation.superuser_url.reveal(), autocommit=True
        ) as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'flagctl watch' AND datname = current_database()"
            )
        for number in range(25):
            assert f"flag_{number}" in line(prod)
        cli.ok("set", "new_checkout", "off", "--env", "prod")
        assert "enabled: true → false" in line(prod), "nothing is missed"
        prod.send_signal(signal.SIGINT)
        assert prod.wait(10) == 0
        assert prod.stderr is not None
        said = prod.stderr.read()
        assert "trying again" in said
        assert "Traceback" not in said


@pytest.mark.parametrize(
    ("options", "settings", "code", "said"),
    [
        (("--env", "prodd"), {}, 5, "did you mean prod?"),
        ((), {"FLAGCTL_TOKEN": ""}, 3, "there is no token"),
        ((), {"FLAGCTL_DATABASE_URL": "postgresql://x@127.0.0.1:1/x"}, 7, ""),
    ],
)
def test_it_refuses(
    stable: CommandLine, options: tuple[str, ...], settings: dict[str, str], code: int, said: str
) -> None:
    assert said in stable.fails(code, "watch", *options, **settings)
