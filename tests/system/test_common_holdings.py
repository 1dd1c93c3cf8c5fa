"""While Postgres is away, no connection is worse off with one worker than with another."""

import os
import signal
from pathlib import Path

from tests.support import readers, workers
from tests.support.installations import Installation
from tests.support.outages import without_postgres
from tests.support.waiting import eventually

WORKERS, CONNECTIONS = 2, 40


def test_all_hold_what_one_was_asked_for(installation: Installation, tmp_path: Path) -> None:
    prod = readers.fill(installation)
    settings = readers.settings_for(installation) | {"FLAGCTL_WORKERS": str(WORKERS)}
    with readers.running(tmp_path, settings) as reader:
        eventually(lambda: workers.listening(reader) == WORKERS, "all listen")
        revision = readers.revision_at(reader, prod.server_key)  # one request, so one worker
        workers.serve(reader, WORKERS, revision)


def test_a_worker_that_comes_into_an_outage(installation: Installation, tmp_path: Path) -> None:
    prod = readers.fill(installation)
    settings = readers.settings_for(installation, redis=False) | {"FLAGCTL_WORKERS": str(WORKERS)}

    with readers.running(tmp_path, settings) as reader:

        def statuses() -> set[int]:
            asked = range(CONNECTIONS)
            return {reader.get("/v1/flags", prod.server_key).status for _ in asked}

        def kill(victim: int) -> None:
            os.kill(victim, signal.SIGKILL)
            eventually(lambda: workers.is_gone(victim), "it is gone")

        eventually(lambda: workers.listening(reader) == WORKERS, "all listen")
        workers.all_hold(reader, prod.server_key, WORKERS)
        with without_postgres(installation):
            eventually(lambda: reader.metric("flagctl_stale") == WORKERS, "it is noticed")
            first, second = sorted(workers.pids(reader))
            kill(first)
            eventually(lambda: "Postgres is away" in reader.log.read_text(), "another has come")
            assert statuses() == {200}
            assert workers.listening(reader) == WORKERS, "it does not answer yet"
            kill(second)
            eventually(lambda: workers.listening(reader) > WORKERS, "nobody is left to wait for")
            assert statuses() == {503}
        eventually(lambda: statuses() == {200}, "Postgres is back", within=20)
        assert "Traceback" not in reader.log.read_text()
