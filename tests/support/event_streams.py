"""A client of server-sent events, as simple as the format."""

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.support.readers import Reader


@dataclass
class Listener:
    """An open stream."""

    connection: http.client.HTTPConnection
    response: http.client.HTTPResponse

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def headers(self) -> Mapping[str, str]:
        return {name.lower(): value for name, value in self.response.getheaders()}

    def block(self) -> dict[str, str] | None:
        """The fields up to the next empty line, a comment's name is empty; None at the end."""
        fields: dict[str, str] = {}
        while line := self.response.readline().decode():
            if line == "\n":
                return fields
            name, _, value = line.rstrip("\n").partition(":")
            fields[name] = value.removeprefix(" ")
        return None

    def event(self) -> dict[str, Any]:
        """The next event: its fields, with the data as it was meant."""
        while (fields := self.block()) is not None:
            if "data" in fields:
                return {**fields, "data": json.loads(fields["data"])}
        raise AssertionError("the stream has ended")

    def revision(self) -> int:
        found: int = self.event()["data"]["revision"]
        return found

    def read_to_the_end(self) -> None:
        while self.block() is not None:
            pass

    def close(self) -> None:
        self.response.close()
        self.connection.close()


@contextmanager
def listening(
    reader: Reader, path: str = "/v1/stream", key: str | None = None, **headers: str
) -> Iterator[Listener]:
    """`last_event_id="…"` is the header Last-Event-ID. No read waits for more than ten seconds."""
    connection = http.client.HTTPConnection("127.0.0.1", reader.port, timeout=10)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request("GET", path, headers=sent | ({"Authorization": key} if key else {}))
    listener = Listener(connection, connection.getresponse())
    try:
        yield listener
    finally:
        listener.close()
