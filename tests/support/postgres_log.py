"""What Postgres itself saw of the read servers: its log of their statements, and who was there."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import psycopg

from flagctl.embedded.postgres import EmbeddedPostgres
from readserver.connections import APPLICATION_NAME
from tests.support.installations import Installation
from tests.support.outages import elsewhere

# What of each load is only in its first question, in the log too.
_LOAD = "AS snapshot_key"


@dataclass
class Watched:
    """`loads` counts those since the beginning; `most` is how many connections there were at once
    at the most, of all read servers."""

    loads: Callable[[], int]
    most: int = 0
    at_work: int = 0  # of them, in a transaction at once


@contextmanager
def watching(postgres: EmbeddedPostgres, installation: Installation) -> Iterator[Watched]:
    """Postgres writes down what the readers' login says, and is asked all the time who is there."""
    login = urlsplit(installation.reader_url.reveal()).username
    stop = threading.Event()

    def count() -> int:
        return postgres.log.read_bytes()[begun:].count(_LOAD.encode())

    with psycopg.connect(elsewhere(installation), autocommit=True) as connection:
        connection.execute(f"ALTER ROLE {login} SET log_statement = 'all'".encode())
        begun = postgres.log.stat().st_size
        watched = Watched(count)

        def sample() -> None:
            while not stop.wait(0.002):
                row = connection.execute(
                    "SELECT count(*), count(*) FILTER (WHERE xact_start IS NOT NULL)"
                    " FROM pg_stat_activity WHERE datname = %s AND application_name = %s",
                    [installation.name, APPLICATION_NAME],
                ).fetchone()
                assert row is not None
                watched.most = max(watched.most, row[0])
                watched.at_work = max(watched.at_work, row[1])

        thread = threading.Thread(target=sample)
        thread.start()
        try:
            yield watched
        finally:
            stop.set()
            thread.join(10)
            connection.execute(f"ALTER ROLE {login} RESET log_statement".encode())
