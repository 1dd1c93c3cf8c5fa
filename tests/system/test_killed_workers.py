"""Workers killed one after the other under load: what was in flight is lost, and no more."""

import os
import signal
from pathlib import Path
from typing import Any

from tests.support import readers
from tests.support.installations import Installation
from tests.support.readers import Reader, switch
from tests.support.traffic import OF_APPLICATIONS, traffic
from tests.support.waiting import eventually

WORKERS, CLIENTS, KILLS = 2, 6, 4
LOST = ("RemoteDisconnected", "ConnectionResetError", "BrokenPipeError", "IncompleteRead")


def workers_of(reader: Reader) -> set[int]:
    pid = reader.process.pid
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def is_right(path: str, document: Any) -> bool:
    if path.endswith("/dark_mode"):
        return type(document["value"]) is bool
    return len(document if path == "/v1/flags" else document["flags"]) == 3


def test_a_killed_worker_takes_at_most_what_was_in_flight(
    installation: Installation, tmp_path: Path
) -> None:
    prod = readers.fill(installation)
    settings = readers.settings_for(installation) | {"FLAGCTL_WORKERS": str(WORKERS)}
    with readers.running(tmp_path, settings) as reader:

        def started() -> int:
            return reader.log.read_text().count('"listening"')

        eventually(lambda: started() == WORKERS, "all listen")
        asking = traffic(
            *(reader.port, prod.server_key, is_right), clients=CLIENTS, requests=OF_APPLICATIONS
        )
        with asking as clients:
            for number in range(1, KILLS + 1):
                seen = list(clients.answers)
                victim = min(workers_of(reader))
                os.kill(victim, signal.SIGKILL)
                # Those that are left, and the one that comes, answer everybody.
                eventually(lambda: all(map(int.__gt__, clients.answers, seen)), "they go on")  # noqa: B023
                eventually(lambda: started() == WORKERS + number, "another takes its place")  # noqa: B023
                assert len(workers_of(reader)) == WORKERS
                # A client has one request in flight, and loses it once.
                assert len(clients.failures) <= number * CLIENTS
            revision = switch(installation, "off")
            for client in range(CLIENTS):
                eventually(
                    lambda: clients.headers[client]["flagctl-revision"] == str(revision),  # noqa: B023
                    "each worker has followed",
                )
        assert all(any(word in failure for word in LOST) for failure in clients.failures)
        assert reader.stop() == 0
        assert "Traceback" not in reader.log.read_text()
