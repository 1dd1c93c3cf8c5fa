"""What becomes of child processes when their parent dies, and what the next start does about it."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]
import psycopg
import pytest
import redis

from core.cache.acl import READER
from flagctl.embedded.postgres import EmbeddedPostgres
from flagctl.embedded.process_table import descendants, is_alive
from flagctl.embedded.processes import Child, spawn
from flagctl.embedded.valkey import EmbeddedValkey
from flagctl.embedded.waiting import until

PASSWORD = "pass-word"
ROOT = Path(__file__).parents[2]

PARENT = """
import json, signal, sys
from pathlib import Path
from flagctl.embedded import engine
from flagctl.embedded.postgres import EmbeddedPostgres
from flagctl.embedded.valkey import EmbeddedValkey

folder, habit = Path(sys.argv[1]), sys.argv[2]
if habit == "no death signal":
    spawn = engine.spawn
    def without(argv, **options):
        return spawn(argv, **(options | {"stop_signal": 0}))
    engine.spawn = without
postgres = EmbeddedPostgres(folder / "postgres", password="pass-word", durable=False)
valkey = EmbeddedValkey(folder / "valkey", password="pass-word")
postgres.start()
valkey.start()
if habit == "suspended":
    postgres.suspend()
    valkey.suspend()
print(json.dumps({
    "pids": [postgres.pid, valkey.pid],
    "addresses": [postgres.url("postgres", "pass-word", "postgres"), valkey.url("flagctl_reader")],
    "runtimes": [str(postgres._home.runtime), str(valkey._home.runtime)],
}), flush=True)
signal.pause()
"""

# Ends itself at the worst moment: when the first thread runs and nobody has noted it yet.
INTERRUPTED = """
import os, signal, sys, threading, time
from pathlib import Path
from flagctl.embedded.valkey import EmbeddedValkey

def end(number, frame):
    raise KeyboardInterrupt

start = threading.Thread.start
def start_and_signal(thread):
    start(thread)
    os.kill(os.getpid(), signal.SIGTERM)

signal.signal(signal.SIGTERM, end)
threading.Thread.start = start_and_signal
try:
    EmbeddedValkey(Path(sys.argv[1]) / "valkey", password="pass-word").start()
except KeyboardInterrupt:
    print("interrupted")
"""


@contextmanager
def parent(folder: Path, habit: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder), habit],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])},
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def killed_parent(folder: Path, habit: str) -> dict[str, list[str]]:
    """Start both in another process, kill -9 that process, and return what it said of them."""
    with parent(folder, habit) as process:
        assert process.stdout
        said: dict[str, list[str]] = json.loads(process.stdout.readline())
    return said


def start_both_again(folder: Path) -> None:
    postgres = EmbeddedPostgres(folder / "postgres", password=PASSWORD, durable=False)
    with postgres, EmbeddedValkey(folder / "valkey", password=PASSWORD) as valkey:
        url = postgres.url("postgres", PASSWORD, "postgres")
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        with redis.Redis.from_url(valkey.url(READER)) as client:
            assert client.ping()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One for all who die: each finds what the one before left."""
    return tmp_path_factory.mktemp("folder")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of the death")
def test_children_go_with_a_killed_parent_and_block_nothing(folder: Path) -> None:
    said = killed_parent(folder, "normal")
    pids = [int(pid) for pid in said["pids"]]
    assert until(lambda: not any(map(is_alive, pids)), timeout=20)
    start_both_again(folder)
    assert not [path for path in said["runtimes"] if Path(path).exists()]


@pytest.mark.parametrize("habit", ["no death signal", "suspended"])
def test_orphans_that_still_run_are_stopped(folder: Path, habit: str) -> None:
    said = killed_parent(folder, habit)
    pids = [int(pid) for pid in said["pids"]]
    everything = [*pids, *descendants(pids[0])]
    assert all(map(is_alive, everything))
    if habit != "suspended":
        with psycopg.connect(said["addresses"][0]) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    start_both_again(folder)
    assert until(lambda: not any(map(is_alive, everything)), timeout=10)
    assert not [path for path in said["runtimes"] if Path(path).exists()]


def test_a_parent_killed_while_it_makes_the_data_folder_blocks_nothing(tmp_path: Path) -> None:
    unfinished = tmp_path / "postgres.new" / "base"
    with parent(tmp_path, "normal"):
        assert until(unfinished.exists, timeout=20)
    assert not (tmp_path / "postgres").exists()
    start_both_again(tmp_path)
    assert not unfinished.parent.exists()


def test_a_signal_that_comes_while_a_child_starts_leaves_nothing_behind(folder: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout == "interrupted\n"
    with EmbeddedValkey(folder / "valkey", password=PASSWORD) as valkey:
        assert valkey.pid


def child(*argv: str, stop_signal: signal.Signals = signal.SIGTERM) -> Child:
    return spawn(
        argv,
        env={"PATH": os.defpath, "GREETING": "hello"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stop_signal=stop_signal,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stop_sends_the_signal_that_was_asked_for(number: signal.Signals) -> None:
    sleeper = child("sleep", "60", stop_signal=number)
    # Before that it is still our launcher, where a signal that `&` ignores would be lost.
    assert until(lambda: psutil.Process(sleeper.pid).name() == "sleep", timeout=10)
    sleeper.stop()
    assert sleeper.poll() == -number
    sleeper.stop()  # once more does no harm


def test_stop_ends_whoever_ignores_the_signal(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    stubborn = child("sh", "-c", f"trap '' TERM; touch '{ready}'; while :; do sleep 0.05; done")
    assert until(ready.exists, timeout=10)
    stubborn.stop(timeout=0.1)
    assert stubborn.poll() == -signal.SIGKILL


def test_a_child_has_a_session_and_the_environment_it_was_given(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        printer = spawn(
            ["sh", "-c", "echo $GREETING; pwd"],
            env={"PATH": os.defpath, "GREETING": "hello"},
            cwd=tmp_path,
            stdout=out,
            stderr=out,
            stop_signal=signal.SIGTERM,
        )
        assert printer.wait(10)
    assert printer.poll() == 0
    assert (tmp_path / "out").read_text().splitlines() == ["hello", str(tmp_path.resolve())]
    sleeper = child("sleep", "60")
    try:
        assert os.getsid(sleeper.pid) == os.getpgid(sleeper.pid) == sleeper.pid
    finally:
        sleeper.kill()


def test_our_library_path_is_not_for_the_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LD_LIBRARY_PATH", str(tmp_path))
    for env in ({}, {"LD_LIBRARY_PATH": "/its/own"}):
        with (tmp_path / "out").open("wb") as out:
            printer = spawn(
                ["/bin/sh", "-c", "echo ${LD_LIBRARY_PATH-unset}"],
                env=env,
                stdout=out,
                stderr=out,
                stop_signal=signal.SIGTERM,
            )
            assert printer.wait(10)
        shown = (tmp_path / "out").read_text().strip()
        assert shown == env.get("LD_LIBRARY_PATH", "unset")


def test_a_program_that_does_not_exist_ends_with_127(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        missing = spawn(
            ["/no/such/program"],
            env={},
            stdout=out,
            stderr=out,
            stop_signal=signal.SIGTERM,
        )
        assert missing.wait(10)
    assert missing.poll() == 127
    assert "cannot run /no/such/program" in (tmp_path / "out").read_text()


def test_the_end_of_the_thread_that_spawned_is_not_the_end_of_the_child() -> None:
    started: list[Child] = []
    thread = threading.Thread(target=lambda: started.append(child("sleep", "60")))
    thread.start()
    thread.join()
    sleeper = started[0]
    try:
        assert until(lambda: bool(psutil.Process(sleeper.pid).name() == "sleep"), timeout=10)
        assert not sleeper.wait(0.2)
    finally:
        sleeper.kill()
