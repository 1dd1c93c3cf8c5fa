"""The guard of the unit tests itself: what it must not let out."""

import asyncio
import socket

import psycopg
import pytest
from pytest_socket import SocketBlockedError

from tests.unit.conftest import ReachedOutError


@pytest.mark.filterwarnings("ignore:A test tried to use socket")
def test_no_network_socket() -> None:
    with pytest.raises(SocketBlockedError):
        socket.socket(socket.AF_INET, socket.SOCK_STREAM)


def test_no_unix_socket() -> None:
    with socket.socket(socket.AF_UNIX) as made, pytest.raises(ReachedOutError):
        made.connect("/tmp/anything")


def test_no_postgres() -> None:
    with pytest.raises(ReachedOutError):
        psycopg.connect("host=/tmp")
    with pytest.raises(ReachedOutError):
        psycopg.Connection.connect("host=/tmp")


def test_an_event_loop_still_runs() -> None:
    assert asyncio.run(asyncio.sleep(0, "done")) == "done"
