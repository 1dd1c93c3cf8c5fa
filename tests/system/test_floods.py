"""What is too large, too deep, too slow or too much, all at once: it is refused by bounds that are
settings, others do not notice, and the server does not grow."""

import json
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.support import readers
from tests.support.installations import Installation
from tests.support.readers import Prod, Reader
from tests.support.traffic import OF_APPLICATIONS, traffic

CONNECTIONS: Final = 10_000
BOUNDS: Final = {
    "FLAGCTL_HEADER_BYTES": "8192",
    "FLAGCTL_HEADER_TIMEOUT": "0.3",
    "FLAGCTL_CONTEXT_BYTES": "20000",
    "FLAGCTL_CONTEXT_DEPTH": "8",
    "FLAGCTL_BODY_TIMEOUT": "0.3",
}
_MEGABYTE: Final = 1_000_000
_EACH: Final = 8


def resident(reader: Reader) -> int:
    """Bytes of memory of its process."""
    pages = int(Path(f"/proc/{reader.process.pid}/statm").read_text().split()[1])
    return pages * resource.getpagesize()


def is_right(path: str, document: Any) -> bool:
    if path.endswith("/dark_mode"):
        return type(document["value"]) is bool
    return len(document if path == "/v1/flags" else document["flags"]) == 3


def post(key: str, *lines: str, length: int) -> bytes:
    head = [
        "POST /ofrep/v1/evaluate/flags HTTP/1.1",
        *("Host: x", f"Authorization: {key}", "Content-Type: application/json"),
        *(f"Content-Length: {length}", *lines),
    ]
    return ("\r\n".join(head) + "\r\n\r\n").encode()


def deep(key: str) -> bytes:
    body = b'{"context": {"a": ' + b"[" * 5_000 + b"]" * 5_000 + b"}}"
    return post(key, length=len(body)) + body


# What is sent, and the status that it gets.
FLOODS: Final[dict[str, tuple[Callable[[str], bytes], int]]] = {
    "an oversized body": (lambda key: post(key, length=50 * _MEGABYTE) + b"x" * _MEGABYTE, 413),
    "deep JSON": (deep, 400),
    "a slow body": (lambda key: post(key, length=1_000) + b'{"context"', 408),
    "a head of megabytes": (lambda _: b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 300_000, 431),
    "a slow head": (lambda _: b"GET / HTTP/1.1\r\nX:", 0),
}


def said(port: int, data: bytes) -> int:
    """The status; 0 where the server hangs up without one."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as peer:
        answer = b""
        # It closes while we still send: what it said before may be lost with that.
        with suppress(ConnectionError):
            peer.sendall(data)
        with suppress(ConnectionError):
            while not answer.endswith(b"\r\n\r\n") and (piece := peer.recv(65_536)):
                answer += piece
                if b"\r\n" in answer:
                    break
        return int(answer.split()[1]) if answer else 0


@pytest.mark.parametrize("setting", ["FLAGCTL_HEADER_BYTES", "FLAGCTL_CONTEXT_DEPTH"])
def test_the_bound_is_the_setting(
    installation: Installation, prod: Prod, tmp_path: Path, setting: str
) -> None:
    largest = {"FLAGCTL_HEADER_BYTES": 5_000, "FLAGCTL_CONTEXT_DEPTH": 3}[setting]
    given = readers.settings_for(installation) | {setting: str(largest)}

    def status(size: int) -> int:
        if setting == "FLAGCTL_HEADER_BYTES":
            start = f"GET /v1/flags HTTP/1.1\r\nAuthorization: {prod.server_key}\r\nX: ".encode()
            return said(reader.port, start + b"a" * (size - len(start) - 4) + b"\r\n\r\n")
        value: Any = "x"
        for _ in range(size - 1):
            value = [value]
        body = json.dumps({"context": {"a": value}}).encode()
        return said(reader.port, post(prod.server_key, length=len(body)) + body)

    with readers.running(tmp_path, given) as reader:
        assert status(largest) == 200
        assert status(largest + 1) in (400, 431)


def test_floods(installation: Installation, prod: Prod, tmp_path: Path) -> None:
    with readers.running(tmp_path, readers.settings_for(installation) | BOUNDS) as reader:
        assert reader.get("/v1/flags", prod.server_key).status == 200
        before = resident(reader)
        statuses: dict[str, set[int]] = {name: set() for name in FLOODS}

        def flood(name: str) -> None:
            make, _ = FLOODS[name]
            data = make(prod.server_key)
            for _ in range(_EACH):
                statuses[name].add(said(reader.port, data))

        asking = traffic(
            *(reader.port, prod.server_key, is_right), requests=OF_APPLICATIONS, with_tags=True
        )
        with asking as clients:
            threads = [threading.Thread(target=flood, args=[name]) for name in [*FLOODS] * 2]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
        assert clients.failures == []
        assert min(clients.answers) > 20
        for name, (_, status) in FLOODS.items():
            assert status in statuses[name], name
            assert statuses[name] <= {status, 0}, name
        assert resident(reader) - before < 40 * _MEGABYTE
        assert not [line for line in reader.lines() if line["level"] == "error"]


@contextmanager
def many_files() -> Iterator[int]:
    """As many as this process may open, less those that it needs itself."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield CONNECTIONS if hard == resource.RLIM_INFINITY else min(CONNECTIONS, hard - 1_000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_ten_thousand_idle_connections(
    installation: Installation, prod: Prod, tmp_path: Path
) -> None:
    """Each asked once, and is kept; the one beyond the setting is refused, and no other fails."""
    request = f"GET /v1/flags HTTP/1.1\r\nHost: x\r\nAuthorization: {prod.server_key}\r\n\r\n"
    with many_files() as count, ExitStack() as stack:
        given = readers.settings_for(installation) | {"FLAGCTL_MAX_CONNECTIONS": str(count)}
        reader = stack.enter_context(readers.running(tmp_path, given))
        assert reader.get("/v1/flags", prod.server_key).status == 200
        before, peers = resident(reader), []
        address = ("127.0.0.1", reader.port)
        for _ in range(count - 1):
            peer = stack.enter_context(socket.create_connection(address, timeout=20))
            peer.sendall(request.encode())
            peers.append(peer)
        for peer in peers:
            assert peer.recv(65_536).startswith(b"HTTP/1.1 200 ")
        assert resident(reader) - before < 15_000 * count
        last = stack.enter_context(socket.create_connection(address, timeout=20))
        last.sendall(request.encode())
        assert last.recv(65_536).startswith(b"HTTP/1.1 200 "), "there is room for one more"
        assert reader.get("/v1/flags", prod.server_key).status == 503, "and none for another"
        for peer in peers[:: max(1, count // 100)]:
            peer.sendall(request.encode())
            assert peer.recv(65_536).startswith(b"HTTP/1.1 200 ")
