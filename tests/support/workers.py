"""The workers of a read server: which there are, what each says, and what Postgres sees of them."""

import os
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

from tests.support.installations import Installation
from tests.support.readers import Reader
from tests.support.waiting import eventually

_LISTENS = "SELECT 1", "LISTEN flagctl_revisions"  # the last that such a connection asked


def pids(reader: Reader) -> set[int]:
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
    """The sums of a metric, by number; of workers that are asked now and then, a second old."""
    text = reader.get("/metrics", admin=True).body.decode()
    found: dict[str, float] = {}
    for worker, value in re.findall(rf'^{name}{{[^}}]*worker="(\d)"[^}}]*}} (\S+)$', text, re.M):
        found[worker] = found.get(worker, 0) + float(value)
    return found


def all_hold(reader: Reader, key: str, count: int) -> None:
    """Ask until each worker holds the environment of the key."""
    with ThreadPoolExecutor(16) as threads:

        def ask() -> bool:
            list(threads.map(lambda _: reader.get("/v1/flags", key), range(32)))
            return len(by_worker(reader, "flagctl_snapshot_revision")) == count

        eventually(ask, "each holds it")


def serve(reader: Reader, count: int, revision: int, *, within: float = 10) -> None:
    """Wait until each worker serves this revision."""
    eventually(
        lambda: (
            by_worker(reader, "flagctl_snapshot_revision")
            == {str(number): float(revision) for number in range(count)}
        ),
        f"all serve {revision}",
        within=within,
    )


def leader(reader: Reader) -> int:
    """The pid of the one that listens; before any was started again."""

    def leaders() -> list[str]:
        return [number for number, leads in by_worker(reader, "flagctl_leads").items() if leads]

    eventually(lambda: len(leaders()) == 1, "one leads")
    return sorted(pids(reader))[int(leaders()[0])]


def listeners(installation: Installation) -> int:
    found = installation.ask(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'flagctl readserver' AND query = ANY(%s) AND state = 'idle'",
        [list(_LISTENS)],
    )
    return int(found[0][0])


@dataclass
class Seen:
    """How many connections Postgres saw at once, and how often it was asked."""

    most: int = 0
    samples: int = 0


@contextmanager
def connections(installation: Installation) -> Iterator[Seen]:
    """Of readers, as Postgres sees them: asked for as fast as it answers."""
    seen, ended = Seen(), threading.Event()
    login = installation.reader_url.reveal().split("//")[1].split(":")[0]

    def look() -> None:
        with psycopg.connect(installation.superuser_url.reveal(), autocommit=True) as connection:
            while not ended.is_set():
                row = connection.execute(
                    "SELECT count(*) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND usename = %s",
                    [login],
                ).fetchone()
                assert row is not None
                seen.most, seen.samples = max(seen.most, row[0]), seen.samples + 1

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield seen
    finally:
        ended.set()
        thread.join(20)
