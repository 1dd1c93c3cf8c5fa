"""Clients that ask a read server all the time, each on a connection that it keeps."""

import http.client
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Expected = Callable[[str, Any], bool]  # whether this document is right for that path

_PAUSE_SECONDS = 0.005  # the processor is for what is tested, too
_REQUESTS = (
    ("GET", "/v1/flags", None),
    ("GET", "/v1/configs", None),
    ("POST", "/v1/flags", b'{"context": {"targetingKey": "u1"}}'),
)


@dataclass
class Traffic:
    """So far: how many answers each client got, and all that were not as they should be."""

    answers: list[int]
    failures: list[str] = field(default_factory=list)


@contextmanager
def traffic(port: int, key: str, expected: Expected, *, clients: int = 4) -> Iterator[Traffic]:
    """They ask until the block ends. A connection that is lost is a failure too."""
    found = Traffic([0] * clients)
    stop = threading.Event()

    def ask(client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {"Authorization": key, "Content-Type": "application/json"}
        for method, path, body in itertools.cycle(_REQUESTS):
            if stop.wait(_PAUSE_SECONDS):
                break
            try:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                document = json.loads(response.read())
            except (OSError, ValueError, http.client.HTTPException) as error:
                found.failures.append(f"{method} {path}: {error!r}")
                continue
            found.answers[client] += 1
            if response.status != 200 or not expected(path, document):
                found.failures.append(f"{method} {path}: {response.status} {document}")
        connection.close()

    threads = [threading.Thread(target=ask, args=[client]) for client in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)
