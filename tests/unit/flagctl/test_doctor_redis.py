"""What doctor says of a Redis by its answer to HELLO and by its address."""

from typing import Any

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError

from flagctl.doctor import caches


class Answering:
    """Says what it is told to, whatever the address is."""

    def __init__(self, url: str, said: Any) -> None:
        self.connection_pool = Redis.from_url(url, driver_info=None).connection_pool
        self._said = said

    def execute_command(self, *words: str) -> Any:
        assert words == ("HELLO",)
        return self._said


def judged(url: str, **facts: str) -> tuple[str, str]:
    said = {"server": "redis", "version": "7.2.4", "role": "master"} | facts
    check = caches._server(Answering(url, said))
    assert bool(check.mend) is (check.verdict == "wrong")
    return check.verdict, check.what


@pytest.mark.parametrize(
    ("facts", "verdict", "said"),
    [
        ({}, "ok", "redis 7.2.4"),
        ({"version": "6.2.0"}, "ok", "redis 6.2.0"),
        ({"server": "valkey", "version": "9.0.1"}, "ok", "valkey 9.0.1"),
        ({"version": "6.0.16"}, "wrong", "redis 6.0.16 is too old"),
        ({"version": "unknown"}, "wrong", "redis unknown is too old"),
        ({"role": "replica"}, "wrong", "redis 7.2.4 is a replica"),
    ],
)
def test_version_and_role(facts: dict[str, str], verdict: str, said: str) -> None:
    found = judged("redis://127.0.0.1/0", **facts)
    assert found == (verdict, f"{said}, on this machine" if verdict == "ok" else said)


def test_what_a_connection_of_the_older_protocol_says() -> None:
    said = [b"server", b"redis", b"version", b"6.2.14", b"proto", 2]
    found = caches._server(Answering("unix:///run/redis.sock", said))
    assert found.what == "redis 6.2.14, on this machine"


@pytest.mark.parametrize(
    ("url", "verdict", "said"),
    [
        ("redis://localhost/0", "ok", "on this machine"),
        ("rediss://redis.example.com/0", "ok", "over TLS"),
        ("redis://redis.example.com/0", "wrong", "over the network without TLS"),
        ("rediss://redis.example.com/0?ssl_cert_reqs=none", "wrong", "is not verified"),
        ("rediss://redis.example.com/0?ssl_check_hostname=false", "wrong", "is not verified"),
    ],
)
def test_how_it_is_reached(url: str, verdict: str, said: str) -> None:
    found = judged(url)
    assert found[0] == verdict
    assert found[1].endswith(said)


@pytest.mark.parametrize(
    ("allowed", "more"), [((), False), (("DBSIZE",), True), (("HMGET",), True)]
)
def test_what_a_user_may_besides(allowed: tuple[str, ...], *, more: bool) -> None:
    class Limited(Redis):
        def execute_command(self, *words: Any, **_: Any) -> Any:
            if words[0] != "EVAL" and words[0] not in allowed:
                raise NoPermissionError("NOPERM")
            return None

    check = caches._rights(Limited())
    assert (check.verdict == "wrong") is more
