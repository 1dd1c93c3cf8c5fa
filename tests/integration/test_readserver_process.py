"""The process: how it starts, refuses to start, and stops."""

import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support import forks, readers
from tests.support.installations import Installation
from tests.support.waiting import eventually


def refused(folder: Path, settings: Mapping[str, str]) -> str:
    """What it says when it does not start: one line, and exit code 2."""
    return checked(forks.outcome(folder, readers.environ(settings)))


def checked(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "needle" not in done.stderr
    assert done.stdout == ""
    return done.stderr


def test_it_needs_a_database(tmp_path: Path) -> None:
    """The program as it is typed: the others here are forks of one that has imported it."""
    done = subprocess.run(
        [sys.executable, "-m", "readserver"],
        cwd=tmp_path,
        env=readers.environ({}),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "FLAGCTL_READER_DATABASE_URL is not set" in checked(done)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("FLAGCTL_LISTEN", "nonsense", "HOST:PORT"),
        ("FLAGCTL_LISTEN", "127.0.0.1:99999", "HOST:PORT"),
        ("FLAGCTL_LISTEN", "no-such-host.invalid:8000", "cannot listen"),
        ("FLAGCTL_REDIS_URL", "http://needle", "redis://"),
        ("FLAGCTL_REDIS_URL", "redis://:needle@h:port/0", "Redis cannot be read"),
        ("FLAGCTL_READER_DATABASE_URL", "postgresql://needle:x@[", "cannot be read"),
        ("FLAGCTL_CHECK_INTERVAL", "never", "seconds"),
    ],
)
def test_bad_settings_are_one_clear_fault(tmp_path: Path, name: str, value: str, said: str) -> None:
    settings = {"FLAGCTL_READER_DATABASE_URL": "postgresql://needle@/x"} | {name: value}
    assert said in refused(tmp_path, settings)


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        settings = {"FLAGCTL_READER_DATABASE_URL": "postgresql:///x", "FLAGCTL_LISTEN": address}
        said = refused(tmp_path, settings)
    assert address in said
    assert "in use" in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_politely(
    installation: Installation, tmp_path: Path, number: signal.Signals
) -> None:
    prod = readers.fill(installation)
    with readers.running(tmp_path, readers.settings_for(installation), command=()) as reader:
        assert reader.get("/v1/flags", prod.server_key).status == 200
        reader.process.send_signal(number)
        assert reader.process.wait(15) == 0
        assert "Traceback" not in reader.log.read_text()
    eventually(
        lambda: (
            not installation.ask(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
                " AND application_name = 'flagctl readserver'"
            )
        ),
        "its connections are gone",
    )


def test_what_is_in_flight_is_answered_first(installation: Installation, tmp_path: Path) -> None:
    """A request waits for a load that a lock holds up; the process is told to stop meanwhile."""
    prod = readers.fill(installation)
    with readers.running(tmp_path, readers.settings_for(installation, redis=False)) as reader:
        with installation.connect() as locking, locking.transaction():
            locking.execute("LOCK TABLE flagctl.flags IN ACCESS EXCLUSIVE MODE")
            answers: list[int] = []
            asking = threading.Thread(
                target=lambda: answers.append(reader.get("/v1/flags", prod.server_key).status)
            )
            asking.start()
            eventually(
                lambda: installation.ask(
                    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
                    " AND datname = current_database()"
                ),
                "the load waits",
            )
            reader.process.send_signal(signal.SIGTERM)
            eventually(lambda: not accepts(reader.port), "it accepts no more")
        asking.join(15)
        assert answers == [200]
        assert reader.process.wait(15) == 0


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_project_file_that_is_not_ones_own_is_named(tmp_path: Path) -> None:
    folder = tmp_path / ".flagctl"
    folder.mkdir()
    (folder / "config.toml").write_text("reader_database_url = 'postgresql:///x'\n")
    folder.chmod(0o777)
    assert "FLAGCTL_READER_DATABASE_URL is not set" in refused(tmp_path, {})
