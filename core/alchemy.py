"""SQLAlchemy's way to Postgres. To load it takes as long as all else that `flagctl set` does, which
does without."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.pool import NullPool, PoolProxiedConnection

from core.db import open_driver_connection, translated
from core.settings import Secret

_OLDEST_POSTGRES: Final = (15,)  # of those that we work with


class _Dialect(PGDialect_psycopg):
    """Asks the server nothing when it connects. SQLAlchemy's own goes there and back four times,
    for each command that is typed, to learn what no statement of ours depends on."""

    supports_statement_cache = True  # SQLAlchemy asks each class anew
    _is_initializing = False

    def initialize(self, connection: Connection) -> None:  # noqa: ARG002 - its signature
        self.server_version_info = _OLDEST_POSTGRES
        self.default_schema_name = "public"
        self.default_isolation_level = "READ COMMITTED"
        self._is_initializing = True

    def do_rollback(self, dbapi_connection: PoolProxiedConnection) -> None:
        """SQLAlchemy's first one follows `initialize`, to end what that began: nothing. It would
        end a transaction that was open before."""
        if self._is_initializing:
            self._is_initializing = False
        else:
            dbapi_connection.rollback()


def _lost() -> psycopg.Connection[Any]:
    """SQLAlchemy would open a connection anew that broke; a transaction is not to go on in another
    one."""
    raise psycopg.OperationalError("the connection was lost")


_opening: ContextVar[Callable[[], psycopg.Connection[Any]]] = ContextVar("opening", default=_lost)


@cache
def _engine() -> Engine:
    """One for all databases, so that a statement is compiled once; it keeps no connection."""
    registry.register("postgresql.flagctl", __name__, _Dialect.__name__)
    engine = create_engine(
        "postgresql+flagctl://", creator=lambda: _opening.get()(), poolclass=NullPool
    )
    event.listen(engine, "handle_error", _keep_pool)
    return engine


def _keep_pool(context: ExceptionContext) -> None:
    """A connection that breaks says nothing of others. SQLAlchemy would open each one twice until
    the wall clock is past this moment: for hours, if somebody sets it back."""
    context.invalidate_pool_on_disconnect = False


@contextmanager
def connect(
    url: Secret, *, application_name: str, patience: float | None = None
) -> Iterator[Connection]:
    """A new connection, closed at the end; whatever was not committed is gone."""
    with _opened(
        lambda: open_driver_connection(url, application_name=application_name, patience=patience)
    ) as connection:
        yield connection


def over(driver: psycopg.Connection[Any]) -> Connection:
    """SQLAlchemy on a connection that is open, also within its transaction. Closing closes it."""
    return _opened(lambda: driver)


def _opened(open_one: Callable[[], psycopg.Connection[Any]]) -> Connection:
    opening = _opening.set(open_one)
    try:
        with translated():
            return _engine().connect()
    finally:
        _opening.reset(opening)
