"""Connections to Postgres, and what its errors mean to us. The one place that knows SQLSTATEs."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from typing import Any, Final, TypeVar, cast

import psycopg
import sqlalchemy.exc
from psycopg.abc import PQGen
from psycopg.pq.abc import PGconn
from psycopg.types.json import set_json_dumps
from sqlalchemy import Connection, Engine, ExceptionContext, create_engine, event
from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.pool import NullPool

from core import json_text
from core.addresses import parameters
from core.errors import (
    ConflictError,
    FlagctlError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from core.settings import Secret

CONNECT_TIMEOUT_SECONDS = 5
_OLDEST_POSTGRES: Final = (15,)  # of those that we work with
RV = TypeVar("RV")

_KINDS: dict[str, type[FlagctlError]] = {
    "FC002": InvalidInputError,
    "FC003": UnauthenticatedError,
    "FC004": ForbiddenError,
    "FC005": NotFoundError,
    "FC006": ConflictError,
}
_HINTS = {
    "28P01": "check user and password of the database address",
    "28000": "check user and password of the database address",
    "3D000": "create the database, or name another in the database address",
    "3F000": "run `flagctl db upgrade` with the owner's address",
    "42P01": "run `flagctl db upgrade` with the owner's address",
    "42883": "run `flagctl db upgrade` with the owner's address",
    "42501": "this database login lacks a privilege: see `flagctl db grants`",
    "25006": "the address names a standby: writes need the primary",
}
# A connection that fails brings a text and no SQLSTATE.
_CONNECTION_FAULTS = {
    "password authentication failed": "28P01",
    "no password supplied": "28P01",
    "does not exist": "3D000",
}
_CONFLICTS = {
    "55P03": "another change holds the lock",
    "40001": "another change came first",
    "40P01": "another change came first",
}


class _Driver(psycopg.Connection[Any]):
    """A connection that gives up a server which accepted it and then says nothing more."""

    patience: float | None = None  # seconds for each answer; None waits for ever

    def wait(self, gen: PQGen[RV], *given: Any, **named: Any) -> RV:
        if self.patience is None:
            return super().wait(gen, *given, **named)
        return super().wait(_within(self.patience, gen, self.pgconn), *given, **named)


def _within(seconds: float, gen: PQGen[RV], connection: PGconn) -> PQGen[RV]:
    """`gen`, which psycopg asks ten times a second, also while nothing comes: whether it has taken
    too long. A thread for each statement would take three times as long as the statement.

    The one that was given up is cut, so that nobody waits for it again: a rollback would.
    """
    try:
        wish = next(gen)
    except StopIteration as end:
        return cast("RV", end.value)
    given_up_at = time.monotonic() + seconds
    while True:
        ready = yield wish
        if not ready and time.monotonic() >= given_up_at:
            cut(connection)
            gen.close()
            connection.finish()
            raise psycopg.OperationalError(f"it did not answer within {seconds:g} s")
        try:
            wish = gen.send(ready)
        except StopIteration as end:
            return cast("RV", end.value)


def cut(connection: PGconn) -> None:
    """Shut the socket under a connection: whoever waits on it gets an error at once.

    Cancelling would wait for the server in turn, which is just what a hung one does not allow.
    """
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.socket)) as twin:
        twin.shutdown(socket.SHUT_RDWR)


def open_driver_connection(
    url: Secret,
    *,
    application_name: str,
    autocommit: bool = False,
    patience: float | None = None,
) -> psycopg.Connection[Any]:
    """A plain psycopg connection to the primary. Works through poolers in transaction mode.

    `patience`: seconds for each answer. A server that hangs keeps no statement time-out."""
    parts = parameters(url) | {"application_name": application_name}
    parts.setdefault("connect_timeout", CONNECT_TIMEOUT_SECONDS)
    with translated():
        connection = _Driver.connect(**parts, prepare_threshold=None, autocommit=autocommit)
    connection.patience = patience
    set_json_dumps(json_text.render_for_postgres, connection)
    return connection


class _Dialect(PGDialect_psycopg):
    """Asks the server nothing when it connects. SQLAlchemy's own goes there and back four times,
    for each command that is typed, to learn what no statement of ours depends on."""

    supports_statement_cache = True  # SQLAlchemy asks each class anew

    def initialize(self, connection: Connection) -> None:  # noqa: ARG002 - its signature
        self.server_version_info = _OLDEST_POSTGRES
        self.default_schema_name = "public"
        self.default_isolation_level = "READ COMMITTED"


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
    """One SQLAlchemy connection, closed at the end; whatever was not committed is gone."""
    opening = _opening.set(
        lambda: open_driver_connection(url, application_name=application_name, patience=patience)
    )
    try:
        with translated():
            connection = _engine().connect()
    finally:
        _opening.reset(opening)
    with connection:
        yield connection


@contextmanager
def translated() -> Iterator[None]:
    """Raise what Postgres answers as one of our kinds."""
    try:
        yield
    except psycopg.Error as error:
        raise _translate(error) from error
    except sqlalchemy.exc.DBAPIError as error:
        if isinstance(error.orig, psycopg.Error):
            raise _translate(error.orig) from error
        raise


def _translate(error: psycopg.Error) -> FlagctlError:
    state = error.sqlstate or ""
    diagnosis = error.diag
    said = diagnosis.message_primary or str(error).strip() or type(error).__name__
    if kind := _KINDS.get(state):
        return kind(said, hint=diagnosis.message_hint or "")
    if state in _CONFLICTS:
        return ConflictError(f"{_CONFLICTS[state]}: {said}", hint="try again")
    if state == "42501" and "row-level security" in said:
        return ForbiddenError(
            "your roles do not allow this: Postgres refuses it",
            hint="`flagctl whoami` shows them",
        )
    if state == "23505":
        return ConflictError(f"it exists already ({diagnosis.constraint_name})")
    if state[:2] in ("22", "23"):
        return InvalidInputError(f"Postgres refuses this: {said}")
    if state == "57014":
        return UnavailableError("Postgres took too long and the statement was ended")
    fault = state or next((s for text, s in _CONNECTION_FAULTS.items() if text in said), "")
    hint = _HINTS.get(fault, "")
    if not state or state[:2] in ("08", "28", "3D", "53", "57", "58", "25"):
        return UnavailableError(f"Postgres is unavailable: {_one_line(said)}", hint=hint)
    if hint:
        return UnavailableError(f"this database is not ready: {said}", hint=hint)
    return FlagctlError(f"Postgres: {said} ({state})")


def _one_line(text: str) -> str:
    return " ".join(text.split())
