"""The audit log as it grows: looked at when Postgres says that something changed, and now and then
in case it says nothing (a pooler passes no messages on, and not every event raises a revision)."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any, Final

import psycopg

from core import notifications
from core.audit.record import AuditFilter, AuditRecord
from core.db import open_driver_connection, translated
from core.links import link
from core.queries.audit_events import list_events
from core.sessions import PATIENCE_SECONDS, Session, begin
from core.settings import Secret

_LOOK_EVERY: Final = 2.0  # seconds
_LEAST_PAUSE: Final = 0.1  # seconds between two looks, however often Postgres speaks
_PAGE: Final = 20
_APPLICATION: Final = "flagctl watch"


class Follower:
    """Remembers what it has given, so that it goes on there after a connection was lost."""

    def __init__(
        self, url: Secret, listen_url: Secret, token: Secret, *, organization: str | None
    ) -> None:
        """`listen_url` is a direct connection, where the other goes through a pooler."""
        self._url = url
        self._listen_url = listen_url
        self._token = token
        self._organization = organization
        self._last: int | None = None  # the id of the newest event that was given

    @property
    def has_begun(self) -> bool:
        return self._last is not None

    def rounds(self) -> Iterator[list[AuditRecord]]:
        """What came since the last round, oldest first; the first one comes at once, and is empty
        where nothing was missed. Raises as core.sessions does, and UnavailableError."""
        with (
            closing(self._listen()) as listener,
            link(self._url, application_name=_APPLICATION, patience=PATIENCE_SECONDS) as connection,
        ):
            while True:
                session = begin(connection, self._token, organization=self._organization)
                found = self._newer(session)
                connection.rollback()
                yield found
                _wait(listener)

    def _newer(self, session: Session) -> list[AuditRecord]:
        page = list_events(session, self._token, AuditFilter(limit=_PAGE))
        last = self._last if self._last is not None else max((e.id for e in page), default=0)
        found = page
        while page and page[-1].id > last + 1:  # ids have no gaps
            older = AuditFilter(limit=_PAGE, cursor=page[-1].id)
            page = list_events(session, self._token, older)
            found += page
        self._last = max([last, *(event.id for event in found)])
        return [event for event in reversed(found) if event.id > last]

    def _listen(self) -> "psycopg.Connection[Any]":
        listener = open_driver_connection(
            self._listen_url,
            application_name=_APPLICATION,
            autocommit=True,
            patience=PATIENCE_SECONDS,
        )
        with translated():
            listener.execute(f"LISTEN {notifications.CHANNEL}")
        return listener


def _wait(listener: "psycopg.Connection[Any]") -> None:
    time.sleep(_LEAST_PAUSE)
    with translated():
        for _ in listener.notifies(timeout=_LOOK_EVERY, stop_after=1):
            pass
