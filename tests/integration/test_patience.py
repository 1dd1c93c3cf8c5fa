"""Statements have their time, and cost no thread each."""

import threading
import time
from typing import Any

import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from core.alchemy import connect
from core.db import open_driver_connection
from tests.support.installations import Installation


def opened(installation: Installation, patience: float) -> "psycopg.Connection[Any]":
    return open_driver_connection(
        installation.admin_url, application_name="test", patience=patience, autocommit=True
    )


def test_what_takes_too_long_is_given_up_for_good(installation: Installation) -> None:
    with connect(installation.admin_url, application_name="test", patience=0.3) as connection:
        began = time.monotonic()
        with pytest.raises(DBAPIError, match=r"it did not answer within 0\.3 s"):
            connection.exec_driver_sql("SELECT pg_sleep(60)")
    assert time.monotonic() - began < 10, "nor does the end wait for it once more"


def test_what_is_asked_one_by_one_has_its_time_each(installation: Installation) -> None:
    with opened(installation, 0.5) as connection:
        began = time.monotonic()
        while time.monotonic() - began < 1:
            assert connection.execute("SELECT pg_sleep(0.05), 7").fetchone() == ("", 7)


def test_faults_and_nothing_are_told_as_ever(installation: Installation) -> None:
    with opened(installation, 5) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero):
            connection.execute("SELECT 1/0")
        assert list(connection.notifies(timeout=0.3)) == []
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert not connection.closed


def test_no_thread_is_started_for_a_statement(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(installation, 5) as connection:
        monkeypatch.setattr(threading.Thread, "start", lambda _: pytest.fail("a thread"))
        assert connection.execute("SELECT 1").fetchone() == (1,)
