"""How soon a commit is visible in a read server's answers."""

import re
import socket
import statistics
import time

import psycopg

from core.cache.invalidation import Change, announce
from tests.support.installations import Installation


class Poller:
    """One keep-alive connection that asks for nothing but the revision, as fast as it can."""

    def __init__(self, port: int, key: str) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self._request = (
            f"GET /v1/flags HTTP/1.1\r\nHost: x\r\nAuthorization: {key}\r\n\r\n".encode()
        )

    def revision(self) -> int:
        self._socket.sendall(self._request)
        answer = b""
        while b"}" not in answer:
            answer += self._socket.recv(65_536)
        found = re.search(rb"flagctl-revision: (\d+)", answer)
        assert found, answer
        return int(found[1])

    def wait_for(self, revision: int) -> None:
        ends_at = time.monotonic() + 10
        while self.revision() < revision:
            assert time.monotonic() < ends_at, "the change never became visible"
            time.sleep(0.001)  # this machine has work to do as well

    def close(self) -> None:
        self._socket.close()


def visible_after(
    installation: Installation, port: int, key: str, changes: int, *, publish: bool
) -> list[float]:
    """Milliseconds from the return of COMMIT to the first answer with the change.

    With `publish` Redis is told as well, as the CLI does; without it NOTIFY is alone.
    """
    poller, took = Poller(port, key), []
    environment_id = installation.environment_id("prod")
    with psycopg.connect(installation.owner_url.reveal()) as connection:
        for number in range(changes):
            connection.execute("SELECT flagctl.begin_owner_change('default', 'bench', 'bench')")
            connection.execute(
                "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id, enabled)"
                " SELECT 1, f.id, e.id, %(on)s FROM flagctl.flags f, flagctl.environments e"
                " WHERE f.key = 'flag_1' AND e.key = 'prod'"
                " ON CONFLICT (flag_id, environment_id) DO UPDATE SET enabled = %(on)s",
                {"on": number % 2 == 0},
            )
            row = connection.execute(
                "SELECT revision, stamp::text, flagctl.epoch() FROM flagctl.environments"
                " WHERE key = 'prod'"
            ).fetchone()
            assert row is not None
            connection.commit()
            committed_at = time.perf_counter()
            if publish:
                change = Change(environment_id, row[2], row[0], row[1])
                assert announce(installation.redis.writer, [change]) is None
            poller.wait_for(row[0])
            took.append((time.perf_counter() - committed_at) * 1e3)
    poller.close()
    return took


def percentiles(values: list[float]) -> dict[str, float]:
    cuts = statistics.quantiles(values, n=100)
    return {"p50": round(cuts[49], 2), "p99": round(cuts[98], 2), "max": round(max(values), 2)}
