"""A connection that stays open: each new one costs Postgres a process that knows nothing yet."""

import os
import socket
import threading
import weakref
from contextlib import suppress
from typing import Any

import psycopg

from core.settings import Secret

Rows = list[tuple[Any, ...]]


class KeptConnection:
    """Statements one by one, each committed at once. Whoever ends it, the next one opens another.

    No statement may leave anything in the session.
    """

    def __init__(self, url: Secret) -> None:
        self._url = url
        self._connection: psycopg.Connection[Any] | None = None
        self._lock = threading.Lock()

    def execute(self, statement: str, parameters: Any = None) -> Rows:
        """The rows that it gives, if any."""
        if not self._lock.acquire(blocking=False):
            # Another thread waits on it, perhaps for what this one does.
            with psycopg.connect(self._url.reveal(), autocommit=True) as connection:
                return _rows(connection, statement, parameters)
        try:
            return self._execute(statement, parameters)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Returns when the server's process is gone. Before, no database is copied or dropped, and
        Postgres looks every 100 ms only."""
        if self._connection is None or self._connection.closed:
            return
        with socket.socket(fileno=os.dup(self._connection.fileno())) as line, suppress(OSError):
            line.settimeout(2)
            self._connection.close()
            while line.recv(4096):
                pass

    def _execute(self, statement: str, parameters: Any) -> Rows:
        if self._connection is not None:
            try:
                return _rows(self._connection, statement, parameters)
            except psycopg.OperationalError:
                if not self._connection.closed:
                    raise
        self._connection = psycopg.connect(self._url.reveal(), autocommit=True)
        weakref.finalize(self, self._connection.close)
        return _rows(self._connection, statement, parameters)


def _rows(connection: psycopg.Connection[Any], statement: str, parameters: Any) -> Rows:
    cursor = connection.execute(statement.encode(), parameters)
    return cursor.fetchall() if cursor.description is not None else []
