"""Clients that ask a read server all the time, each on a connection that it keeps."""

import http.client
import itertools
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

Expected = Callable[[str, Any], bool]  # whether this document is right for that path

_PAUSE_SECONDS = 0.005  # the processor is for what is tested, too
Request = tuple[str, str, bytes | None]
_CONTEXT = b'{"context": {"targetingKey": "u1"}}'
_REQUESTS: tuple[Request, ...] = (
    ("GET", "/v1/flags", None),
    ("GET", "/v1/configs", None),
    ("POST", "/v1/flags", _CONTEXT),
)
# What an application asks: flags, with the tag that it has of them; OpenFeature's protocol, too.
OF_APPLICATIONS: tuple[Request, ...] = (
    ("GET", "/v1/flags", None),
    ("POST", "/ofrep/v1/evaluate/flags", _CONTEXT),
    ("POST", "/ofrep/v1/evaluate/flags/dark_mode", _CONTEXT),
)


@dataclass
class Traffic:
    """So far: how many answers each client got, and all that were not as they should be."""

    answers: list[int]
    failures: list[str] = field(default_factory=list)
    not_modified: int = 0
    headers: list[dict[str, str]] = field(default_factory=list)  # of each client's last answer


@contextmanager
def traffic(
    port: int,
    key: str,
    expected: Expected,
    *,
    clients: int = 4,
    requests: Sequence[Request] = _REQUESTS,
    with_tags: bool = False,
) -> Iterator[Traffic]:
    """They ask until the block ends. A connection that is lost is a failure too. `with_tags`: a GET
    says which answer the client has, and gets 304 for the same."""
    found = Traffic([0] * clients, headers=[{} for _ in range(clients)])
    stop = threading.Event()

    def ask(client: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        headers = {"Authorization": key, "Content-Type": "application/json"}
        tags: dict[str, str] = {}
        for method, path, body in itertools.cycle(requests):
            if stop.wait(_PAUSE_SECONDS):
                break
            known = {"If-None-Match": tags[path]} if path in tags else {}
            try:
                connection.request(method, path, body, headers | known)
                response = connection.getresponse()
                text = response.read()
                document = json.loads(text) if response.status != 304 else None
            except (OSError, ValueError, http.client.HTTPException) as error:
                found.failures.append(f"{method} {path}: {error!r}")
                connection.close()
                continue
            found.answers[client] += 1
            found.headers[client] = {name.lower(): value for name, value in response.getheaders()}
            if with_tags and (method, response.status) == ("GET", 200):
                tags[path] = found.headers[client]["etag"]
            if response.status == 304 and known:
                found.not_modified += 1
            elif response.status != 200 or not expected(path, document):
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
