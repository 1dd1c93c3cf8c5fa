"""Unit tests reach nothing: no network, no Unix socket, no database."""

import socket
from collections.abc import Iterator
from typing import NoReturn

import pytest
from pytest_socket import disable_socket, enable_socket


class ReachedOutError(AssertionError):
    """A unit test tried to reach something outside of its process."""


def _refuse(*_args: object, **_kwargs: object) -> NoReturn:
    raise ReachedOutError


@pytest.fixture(autouse=True)
def _reach_nothing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # An event loop wakes itself through a pair of Unix sockets: they may exist, not connect.
    disable_socket(allow_unix_socket=True)
    for way_out in ("connect", "connect_ex", "bind", "sendto"):
        monkeypatch.setattr(socket.socket, way_out, _refuse)
    # libpq does not ask Python for its sockets.
    for way_out in ("connect", "Connection.connect", "AsyncConnection.connect"):
        monkeypatch.setattr(f"psycopg.{way_out}", _refuse)
    yield
    enable_socket()
