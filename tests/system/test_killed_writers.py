"""`flagctl set` is killed before and after each thing that it says to Postgres and to Redis."""

import os
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support import proxies, readers
from tests.support.forks import Fork
from tests.support.installations import Installation
from tests.support.proxies import Proxy
from tests.support.readers import Reader
from tests.support.waiting import eventually

_MOST_STEPS = 60


@dataclass
class Killer:
    """Ends a process at its step of this number."""

    step: int
    moment: str
    process: Fork | None = None
    seen: int = 0

    def watch(self, moment: str) -> bool:
        self.seen += moment == "before"
        if (self.seen, moment) != (self.step, self.moment):
            return True
        assert self.process is not None
        os.kill(self.process.pid, signal.SIGKILL)
        return False


@dataclass(frozen=True)
class Writers:
    """Command lines that reach both servers by proxies."""

    to_postgres: Proxy
    to_redis: Proxy
    environ: dict[str, str]
    folder: Path

    def set(self, state: str, killer: Killer) -> int:
        """The exit code; that of the signal when it was killed."""
        for proxy in (self.to_postgres, self.to_redis):
            proxy.watch = killer.watch
        log = self.folder / "flagctl.log"
        arguments = ["set", "dark_mode", state, "--env", "prod", "--reason", "a step"]
        killer.process = Fork(self.folder, readers.environ(self.environ), log, arguments)
        code = killer.process.wait(30)
        assert "Traceback" not in log.read_text()
        return code


@contextmanager
def writers(installation: Installation, folder: Path) -> Iterator[Writers]:
    url, cache = installation.admin_url.reveal(), installation.redis.writer.reveal()
    if "host=" not in url or not cache.startswith("unix://"):
        pytest.skip("these servers are not reached by Unix sockets")
    socket = Path(cache.rpartition("@")[2])
    with (
        proxies.before_postgres(url, folder) as (to_postgres, address),
        proxies.running(Proxy(folder / "redis.sock", socket)) as to_redis,
    ):
        proxied = {
            "FLAGCTL_DATABASE_URL": address,
            "FLAGCTL_REDIS_URL": cache.replace(str(socket), str(to_redis.listening)),
        }
        yield Writers(to_postgres, to_redis, installation.environ() | proxied, folder)


def assert_all_agree(installation: Installation, reader: Reader, key: str) -> None:
    """The row, the last event, its revision and the environment's; then what is served."""
    (enabled,) = installation.ask(
        "SELECT coalesce((SELECT o.enabled FROM flagctl.overrides o JOIN flagctl.flags f"
        " ON f.id = o.flag_id WHERE f.key = 'dark_mode' AND o.environment_id ="
        " (SELECT id FROM flagctl.environments WHERE key = 'prod')), true)"
    )[0]
    events = installation.ask(
        "SELECT (e.after ->> 'enabled')::boolean, r.revision FROM flagctl.audit_events e"
        " JOIN flagctl.audit_event_revisions r USING (organization_id, seq)"
        " WHERE r.environment = 'prod' AND e.reason = 'a step' ORDER BY seq DESC LIMIT 1"
    )
    revision = installation.revisions()["prod"]
    if events:
        assert events[0] == (enabled, revision)
    eventually(
        lambda: readers.revision_at(reader, key) == revision, "the reader follows", within=20
    )
    assert reader.get("/v1/flags", key).json()["dark_mode"] is enabled


def test_state_audit_revision_and_readers_agree(installation: Installation, tmp_path: Path) -> None:
    prod = readers.fill(installation)
    settings = readers.settings_for(installation) | {"FLAGCTL_CHECK_INTERVAL": "0.5"}
    kills = committed = 0
    with (
        tempfile.TemporaryDirectory(prefix="fc-") as short,
        writers(installation, Path(short)) as command,
        readers.running(tmp_path, settings) as reader,
    ):
        for moment in ("before", "after"):
            for step in range(1, _MOST_STEPS):
                before = installation.revisions()["prod"]
                state = (
                    "off" if reader.get("/v1/flags", prod.server_key).json()["dark_mode"] else "on"
                )
                code = command.set(state, Killer(step, moment))
                eventually(lambda: nobody_writes(installation), "its transaction is over")
                assert_all_agree(installation, reader, prod.server_key)
                if code == 0:
                    break  # it has no such step
                assert code == -signal.SIGKILL
                kills += 1
                committed += installation.revisions()["prod"] > before
            else:
                pytest.fail("it never came to an end")
    assert kills >= 10
    assert 1 <= committed < kills, "some were killed after the commit, and most before"


def nobody_writes(installation: Installation) -> bool:
    """No transaction is left of a process that was killed."""
    query = (
        "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'flagctl'"
    )
    return not installation.ask(query)
