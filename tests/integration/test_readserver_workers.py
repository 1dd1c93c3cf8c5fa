"""Several workers: they share sockets, are started again, and never outlive their supervisor."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.support import readers
from tests.support.installations import Installation
from tests.support.readers import Reader
from tests.support.waiting import eventually

WORKERS = 2


def workers_of(reader: Reader) -> set[int]:
    pid = reader.process.pid
    return set(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    return state == "Z"  # whoever adopted it has not looked yet


def listening(reader: Reader) -> int:
    return reader.log.read_text().count('"listening"')


def by_worker(reader: Reader, name: str) -> dict[str, float]:
    text = reader.get("/metrics", admin=True).body.decode()
    found: dict[str, float] = {}
    for worker, value in re.findall(rf'^{name}{{[^}}]*worker="(\d)"[^}}]*}} (\S+)$', text, re.M):
        found[worker] = found.get(worker, 0) + float(value)
    return found


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

        first = workers_of(reader)
        assert len(first) == WORKERS
        victim = min(first)
        os.kill(victim, signal.SIGKILL)
        eventually(lambda: listening(reader) == WORKERS + 1, "another takes its place")
        assert workers_of(reader) >= first - {victim}
        assert len(workers_of(reader)) == WORKERS
        assert reader.get("/v1/flags", prod.server_key).status == 200

        last = workers_of(reader)
        assert reader.stop() == 0
        assert all(map(is_gone, last))
        assert "Traceback" not in reader.log.read_text()

    with readers.running(tmp_path, settings) as reader:
        eventually(lambda: listening(reader) == WORKERS, "all listen")
        orphans = workers_of(reader)
        reader.process.kill()
        eventually(lambda: all(map(is_gone, orphans)), "they end with their supervisor")


def test_what_no_worker_can_do_ends_all(tmp_path: Path) -> None:
    settings = {
        "FLAGCTL_READER_DATABASE_URL": "postgresql://x@/x",
        "FLAGCTL_REDIS_URL": "redis://:x@h:port/0",
        "FLAGCTL_WORKERS": str(WORKERS),
    }
    done = subprocess.run(
        [sys.executable, "-m", "readserver"],
        cwd=tmp_path,
        env=readers.environ(settings),
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert "Redis cannot be read" in done.stderr
