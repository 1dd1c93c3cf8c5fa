"""Connections to Postgres, and what its errors mean to us. The one place that knows SQLSTATEs."""

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar, cast

import psycopg
from psycopg.abc import AdaptContext, Buffer, PQGen
from psycopg.adapt import Loader
from psycopg.pq.abc import PGconn
from psycopg.types.json import set_json_dumps

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
CANCEL_SECONDS = 0.3  # for a statement to end that Postgres was asked to cancel
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


class Driver(psycopg.Connection[Any]):
    """A connection that gives up a server which accepted it and then says nothing more."""

    patience: float | None = None  # seconds for each answer; None waits for ever
    ends_at: float | None = None  # for all answers, by the monotonic clock

    def wait(self, gen: PQGen[RV], *given: Any, **named: Any) -> RV:
        if self.ends_at is not None:
            gen = _watched(gen, self.pgconn, partial(self._is_over, self.ends_at))
        elif self.patience is not None:
            given_up_at = time.monotonic() + self.patience
            gen = _watched(gen, self.pgconn, lambda: time.monotonic() >= given_up_at)
        return super().wait(gen, *given, **named)

    def _is_over(self, ends_at: float) -> bool:
        """From then on it asks Postgres to cancel the statement, and waits a little for that: what
        was only slow does not go on there, and the connection stays good."""
        late = time.monotonic() - ends_at
        if 0 <= late < CANCEL_SECONDS:
            with suppress(psycopg.Error):
                self.cancel_safe(timeout=CANCEL_SECONDS)
        return late >= CANCEL_SECONDS


class _InUtc(Loader):
    """A moment in UTC, not in the session's zone: it is printed, and part of tags."""

    def __init__(self, oid: int, context: AdaptContext | None = None) -> None:
        super().__init__(oid, context)
        known = psycopg.adapters.get_loader(oid, self.format)
        assert known is not None  # noqa: S101 - psycopg has one for each of its own types
        self._load = known(oid, context).load

    def load(self, data: Buffer) -> datetime:
        moment: datetime = self._load(data)
        return moment.astimezone(UTC)


def _watched(gen: PQGen[RV], connection: PGconn, is_over: Callable[[], bool]) -> PQGen[RV]:
    """`gen`, which psycopg asks ten times a second, also while nothing comes: whether it has taken
    too long. A thread for each statement would take three times as long as the statement.

    The one that was given up is cut, so that nobody waits for it again: a rollback would.
    """
    began = time.monotonic()
    try:
        wish = next(gen)
        while True:
            ready = yield wish
            if not ready and is_over():
                cut(connection)
                gen.close()
                connection.finish()
                seconds = time.monotonic() - began
                raise psycopg.OperationalError(f"it did not answer within {seconds:.1f} s")
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
) -> Driver:
    """A plain psycopg connection to the primary. Works through poolers in transaction mode.

    `patience`: seconds for each answer. A server that hangs keeps no statement time-out."""
    parts = parameters(url) | {"application_name": application_name}
    parts.setdefault("connect_timeout", CONNECT_TIMEOUT_SECONDS)
    with translated():
        connection = Driver.connect(**parts, prepare_threshold=None, autocommit=autocommit)
    connection.patience = patience
    set_json_dumps(json_text.render_for_postgres, connection)
    connection.adapters.register_loader("timestamptz", _InUtc)
    return connection


@contextmanager
def translated() -> Iterator[None]:
    """Raise what Postgres answers as one of our kinds, whether it comes as psycopg raises it or as
    SQLAlchemy does, with that as its `orig`."""
    try:
        yield
    except Exception as error:
        said = getattr(error, "orig", error)
        if not isinstance(said, psycopg.Error):
            raise
        raise _translate(said) from error


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
