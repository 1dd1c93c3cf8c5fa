"""Several workers: they share sockets, are started again, and never outlive their supervisor."""

import os
import signal
from pathlib import Path

from tests.support import forks, readers
from tests.support.installations import Installation
from tests.support.waiting import eventually
from tests.support.workers import by_worker, is_gone, listening, pids

WORKERS = 2


def test_workers(installation: Installation, tmp_path: Path) -> None:
    prod = readers.fill(installation)
    settings = readers.settings_for(installation) | {"FLAGCTL_WORKERS": str(WORKERS)}
    with readers.running(tmp_path, settings) as reader:
        eventually(lambda: listening(reader) == WORKERS, "all listen")
        asked = 40
        for _ in range(asked):
            assert reader.get("/v1/flags", prod.server_key).status == 200
        eventually(
            lambda: sum(by_worker(reader, "flagctl_responses_total").values()) == asked,
            "each answer is counted once",
        )
        assert by_worker(reader, "flagctl_postgres_up") == {"0": 1.0, "1": 1.0}

        first = pids(reader)
        assert len(first) == WORKERS
        victim = min(first)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: listening(reader) == WORKERS + 1, "another takes its place")
        assert pids(reader) >= first - {victim}
        assert len(pids(reader)) == WORKERS
        assert reader.get("/v1/flags", prod.server_key).status == 200

        last = pids(reader)
        assert reader.stop() == 0
        assert all(map(is_gone, last))
        assert "Traceback" not in reader.log.read_text()

    with readers.running(tmp_path, settings) as reader:
        eventually(lambda: listening(reader) == WORKERS, "all listen")
        orphans = pids(reader)
        reader.process.kill()
        eventually(lambda: all(map(is_gone, orphans)), "they end with their supervisor")


def test_what_no_worker_can_do_ends_all(tmp_path: Path) -> None:
    settings = {
        "FLAGCTL_READER_DATABASE_URL": "postgresql://x@/x",
        "FLAGCTL_REDIS_URL": "redis://:x@h:port/0",
        "FLAGCTL_WORKERS": str(WORKERS),
    }
    done = forks.outcome(tmp_path, readers.environ(settings))
    assert done.returncode == 2
    assert "Redis cannot be read" in done.stderr
