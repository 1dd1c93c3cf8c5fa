"""A connection to Postgres for plain SQL and, in the same transaction, SQLAlchemy's statements."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, LiteralString

import psycopg
from psycopg.rows import namedtuple_row

from core.db import open_driver_connection, translated
from core.settings import Secret

if TYPE_CHECKING:
    from sqlalchemy import Connection

Parameters = Mapping[str, Any]


class Link:
    """Begins a transaction when it is asked; `commit` and `rollback` end it."""

    def __init__(self, driver: psycopg.Connection[Any]) -> None:
        self.driver = driver
        self._sqlalchemy: Connection | None = None

    def ask(self, query: LiteralString, parameters: Parameters | None = None) -> list[Any]:
        """The rows, with their columns as attributes too. Parameters stand as %(name)s. What
        Postgres refuses is raised as one of our errors."""
        with translated(), self.driver.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(query, parameters).fetchall()

    def run(self, statement: LiteralString) -> None:
        """What gives no rows."""
        with translated():
            self.driver.execute(statement)

    @property
    def sqlalchemy(self) -> "Connection":
        """Whoever composes statements loads it."""
        if self._sqlalchemy is None:
            from core.alchemy import over

            self._sqlalchemy = over(self.driver)
        return self._sqlalchemy

    def commit(self) -> None:
        with translated():
            self._whose_transaction().commit()

    def rollback(self) -> None:
        with translated():
            self._whose_transaction().rollback()

    def _whose_transaction(self) -> "Connection | psycopg.Connection[Any]":
        """SQLAlchemy has to end one that it knows of."""
        if self._sqlalchemy is not None and self._sqlalchemy.in_transaction():
            return self._sqlalchemy
        return self.driver

    def close(self) -> None:
        """Whatever was not committed is gone. A connection that broke is no reason to raise."""
        with suppress(psycopg.Error):
            self.driver.rollback()  # a pooler keeps the server's side for others, if it is clean
        self.driver.close()
        if self._sqlalchemy is not None:
            self._sqlalchemy.invalidate()  # it need not know
            self._sqlalchemy.close()


@contextmanager
def link(url: Secret, *, application_name: str, patience: float | None = None) -> Iterator[Link]:
    """A new one, closed at the end. `patience` as core.db."""
    made = Link(open_driver_connection(url, application_name=application_name, patience=patience))
    try:
        yield made
    finally:
        made.close()
