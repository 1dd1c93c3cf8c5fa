"""Applications that ask all the time, and keep what they saw."""

import http.client
import itertools
import json
import threading
import time
from dataclasses import dataclass, field
from typing import Any, Final

from tests.chaos.history import Sighting
from tests.chaos.world import BITS, Seat, World

_PAUSE: Final = 0.01  # seconds between two requests of a client
_TIMEOUT: Final = 15.0  # longer than any reader is suspended
_NEXT_CONNECTION = itertools.count(1)
_EXACT: Final = 1 << 62


@dataclass
class Client:
    """One seat's, on connections that it keeps."""

    world: World
    seat: Seat
    sightings: list[Sighting] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    took: list[tuple[float, float]] = field(default_factory=list)  # asked at, seconds
    _warm: int = 0  # the generation that has answered 200

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            reader, generation = self.seat.reader, self.seat.generation
            if reader is None:
                time.sleep(_PAUSE)
                continue
            connection = http.client.HTTPConnection("127.0.0.1", reader.port, timeout=_TIMEOUT)
            opened_at, number = time.monotonic(), next(_NEXT_CONNECTION)
            try:
                self._converse(connection, number, generation, stop)
            except (OSError, http.client.HTTPException) as error:
                # A killed worker takes its connections along; a new one is another's.
                if self._is_at(generation) and opened_at > self.seat.hurt_at:
                    worker = self.seat.worker(number)
                    self.failures.append(f"{worker}: {type(error).__name__} {error}")
            finally:
                connection.close()

    def _is_at(self, generation: int) -> bool:
        """Whether the same process still sits there: a killed one may fail what was in flight."""
        return self.seat.reader is not None and self.seat.generation == generation

    def _converse(
        self,
        connection: http.client.HTTPConnection,
        number: int,
        generation: int,
        stop: threading.Event,
    ) -> None:
        for ask in itertools.cycle((_flags, _configs, _bulk)):
            if stop.is_set() or not self._is_at(generation):
                return
            asked_at, worker = time.monotonic(), self.seat.worker(number)
            status, stale, revision, value, modulus = ask(connection, self.world.key)
            self.took.append((asked_at, time.monotonic() - asked_at))
            if status == 200:
                self._warm = generation
                # Whoever answers while something is suspended there, is not that.
                excused = asked_at < self.seat.held_until < float("inf")
                self.sightings.append(
                    Sighting(asked_at, worker, number, revision, value, modulus, stale, excused)
                )
            elif self._warm == generation or status != 503:
                self.failures.append(f"{worker}: status {status}")
            time.sleep(_PAUSE)


Seen = tuple[int, bool, int, int, int]  # status, stale, revision, value, modulus


def _answer(
    connection: http.client.HTTPConnection, method: str, path: str, key: str, body: str | None
) -> tuple[http.client.HTTPResponse, Any]:
    headers = {"Authorization": key, "Content-Type": "application/json"}
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    data = response.read()
    return response, json.loads(data) if response.status == 200 else None


def _seen(response: http.client.HTTPResponse, value: int, modulus: int) -> Seen:
    stale = response.getheader("flagctl-stale") == "true"
    revision = int(response.getheader("flagctl-revision") or 0)
    return response.status, stale, revision, value, modulus


def _of_bits(values: dict[str, bool]) -> int:
    return sum(values[f"bit_{bit}"] << bit for bit in range(BITS))


def _flags(connection: http.client.HTTPConnection, key: str) -> Seen:
    response, body = _answer(connection, "GET", "/v1/flags", key, None)
    return _seen(response, _of_bits(body) if body is not None else 0, 1 << BITS)


def _configs(connection: http.client.HTTPConnection, key: str) -> Seen:
    response, body = _answer(connection, "GET", "/v1/configs", key, None)
    return _seen(response, body["serial"] if body is not None else 0, _EXACT)


def _bulk(connection: http.client.HTTPConnection, key: str) -> Seen:
    path, context = "/ofrep/v1/evaluate/flags", '{"context": {"targetingKey": "u"}}'
    response, body = _answer(connection, "POST", path, key, context)
    values = {flag["key"]: flag["value"] for flag in body["flags"]} if body is not None else None
    return _seen(response, _of_bits(values) if values is not None else 0, 1 << BITS)
