"""A clock set forward or back by an hour: timed changes and expiries follow it, nothing else minds.

The clock is each time that of one machine: the read server's, Redis's, Postgres's.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import redis

from core import clock as true_clock
from core.cache import keys
from core.services import api_keys, flags, overrides
from flagctl.embedded.postgres import EmbeddedPostgres
from flagctl.embedded.valkey import EmbeddedValkey
from tests.support import clocks, readers, redis_users
from tests.support import servers as server_support
from tests.support.clocks import HOUR, Clock
from tests.support.command_lines import CommandLine
from tests.support.event_streams import listening
from tests.support.installations import Cluster, Installation
from tests.support.outages import without_postgres
from tests.support.readers import Prod, Reader, switch, wait_for
from tests.support.traffic import OF_APPLICATIONS, traffic
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(
    clocks.library() is None, reason="libfaketime is missing: `make test-clock` installs it"
)

STEPS = {"forward": HOUR, "back": -HOUR}


@pytest.fixture
def clock() -> Iterator[Clock]:
    with clocks.clock() as made:
        yield made


@pytest.fixture
def prod(installation: Installation) -> Prod:
    return readers.fill(installation)


@pytest.fixture
def installation(cluster: Cluster) -> Iterator[Installation]:
    with cluster.installation() as made:
        yield made


def add_timed(installation: Installation) -> str:
    """The flag `sale`, on, which ends in half an hour, as the key does that is returned."""
    ends = true_clock.now() + timedelta(minutes=30)
    with installation.change() as change:
        flags.create_flag(change, flags.Definition("sale", expires_at=ends))
        overrides.set_override(change, "sale", "prod", "on")
        return api_keys.create_key(change, "half an hour", "prod", expires_at=ends).key


def settings(installation: Installation, folder: Path) -> dict[str, str]:
    own = {
        "FLAGCTL_CHECK_INTERVAL": "1",
        "FLAGCTL_STREAM_HEARTBEAT": "0.2",
        "FLAGCTL_LAST_GOOD_FOLDER": str(folder / "last-good"),
    }
    return readers.settings_for(installation) | own


def is_right(path: str, document: Any) -> bool:
    if path.endswith("/dark_mode"):
        return type(document["value"]) is bool
    values = document if path == "/v1/flags" else {f["key"]: f["value"] for f in document["flags"]}
    return {"banner", "dark_mode", "hidden"} <= values.keys()


def state(reader: Reader, prod: Prod, timed: str) -> tuple[bool, int]:
    """Of `sale`, and the status that the key gets which ends as `sale` does."""
    sale = reader.get("/v1/flags", prod.server_key).json()["sale"]
    return sale, reader.get("/v1/flags", timed).status


def holds(reader: Reader, prod: Prod) -> None:
    """A first load takes many times as long as elsewhere: libfaketime holds up threads."""
    key = prod.server_key
    eventually(lambda: reader.get("/v1/flags", key).status == 200, "it holds prod", within=60)


ON, OVER = (True, 200), (False, 401)


def test_a_read_servers_clock(
    installation: Installation, prod: Prod, clock: Clock, tmp_path: Path
) -> None:
    timed = add_timed(installation)
    given = settings(installation, tmp_path) | clock.environ()
    with readers.running(tmp_path, given, command=()) as reader:
        holds(reader, prod)
        assert state(reader, prod, timed) == ON
        asking = traffic(
            *(reader.port, prod.server_key, is_right), requests=OF_APPLICATIONS, with_tags=True
        )
        with (
            asking as clients,
            listening(reader, key=prod.server_key) as lasting,
            listening(reader, key=timed) as ending,
        ):
            assert lasting.event() == ending.event()
            clock.set(HOUR)
            eventually(lambda: state(reader, prod, timed) == OVER, "both are over")
            ending.read_to_the_end()
            goes_on(installation, reader, prod)
            assert lasting.event()["data"]["revision"] <= installation.revisions()["prod"]
            clock.set(-HOUR)
            eventually(lambda: state(reader, prod, timed) == ON, "both are there again")
            goes_on(installation, reader, prod)
            clock.set(HOUR)
            eventually(lambda: state(reader, prod, timed) == OVER, "both are over")
            stale_for_a_moment(installation, reader, prod, clock)
            beats = [lasting.block() for _ in range(3)]
            assert None not in beats
        assert clients.failures == []
        assert min(clients.answers) > 20
        assert not [line for line in reader.lines() if line["level"] == "error"]


def goes_on(installation: Installation, reader: Reader, prod: Prod) -> None:
    """Checks, changes and files go on at their pace, and nothing is old."""
    checks = reader.metric("flagctl_checks_total")
    eventually(lambda: reader.metric("flagctl_checks_total") >= checks + 2, "it checks")
    for word in ("off", "on"):
        wait_for(reader, prod.server_key, switch(installation, word), within=10)
    assert reader.metric("flagctl_age_seconds") < 60
    assert reader.metric("flagctl_snapshot_age_seconds") < 60
    eventually(lambda: not_stale(reader, prod), "it is fresh")
    written = reader.metric("flagctl_last_good_writes_total")
    switch(installation, "off")
    eventually(lambda: reader.metric("flagctl_last_good_writes_total") > written, "it is kept")
    assert reader.metric("flagctl_last_good_failures_total") == 0


def not_stale(reader: Reader, prod: Prod) -> bool:
    headers = reader.get("/v1/flags", prod.server_key).headers
    return "age" not in headers and "flagctl-stale" not in headers


def stale_for_a_moment(
    installation: Installation, reader: Reader, prod: Prod, clock: Clock
) -> None:
    """The age is what has passed, whatever the clock shows."""
    with without_postgres(installation):

        def age() -> int:
            return int(reader.get("/v1/flags", prod.server_key).headers.get("age", -1))

        eventually(lambda: age() >= 0, "it is stale")
        for seconds in (-HOUR, HOUR):
            before = age()
            clock.set(seconds)
            eventually(lambda: age() > before, "it ages")  # noqa: B023
            assert age() < 60
        assert reader.get("/readyz").json()["age_seconds"] < 60
    eventually(lambda: age() == -1, "it is fresh again")


@pytest.mark.parametrize("step", STEPS)
def test_a_restart_after_a_step(
    installation: Installation, prod: Prod, clock: Clock, tmp_path: Path, step: str
) -> None:
    """A file's age is all that goes by the clock. It is served whatever that says."""
    given = settings(installation, tmp_path) | clock.environ()
    with readers.running(tmp_path, given, command=()) as reader:
        holds(reader, prod)
        assert reader.stop() == 0
    clock.set(STEPS[step])
    with without_postgres(installation), readers.running(tmp_path, given, command=()) as reader:
        answer = reader.get("/v1/flags", prod.server_key)
        assert (answer.status, answer.headers["flagctl-stale"]) == (200, "true")
        age = int(answer.headers["age"])
        assert HOUR <= age < HOUR + 60 if step == "forward" else age < 60
        assert reader.stop() == 0


def by(clock: Clock, command: list[str]) -> list[str]:
    """A server's command, so that it goes by this clock: once it is whom it runs as."""
    return [
        "/usr/bin/env",
        *(f"{name}={value}" for name, value in clock.environ().items()),
        *command,
    ]


@pytest.fixture
def valkey(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EmbeddedValkey]:
    made = server_support.embedded_valkey(tmp_path)
    command = made._command
    monkeypatch.setattr(made, "_command", lambda: by(clock, command()))
    with made:
        yield made


def ahead(raw: Any) -> float:
    """By how many seconds Redis's clock is; it looks at it now and then."""
    return float(raw.time()[0]) - true_clock.now().timestamp()


@pytest.mark.parametrize("step", STEPS)
def test_rediss_clock(
    installation: Installation,
    prod: Prod,
    clock: Clock,
    valkey: EmbeddedValkey,
    tmp_path: Path,
    step: str,
) -> None:
    """Copies, leases and receipts live by it."""
    addresses = redis_users.of_embedded(valkey)
    environ = installation.environ() | {"FLAGCTL_REDIS_URL": addresses.writer.reveal()}
    cli = CommandLine(installation, environ)
    given = settings(installation, tmp_path)
    given |= {"FLAGCTL_REDIS_URL": addresses.reader.reveal()}
    with (
        readers.running(tmp_path, given) as first,
        readers.running(tmp_path, given) as second,
        redis.Redis.from_url(addresses.administrator.reveal()) as raw,
    ):
        for reader in (first, second):
            holds(reader, prod)
        eventually(lambda: len(cli.json("readers")["readers"]) == 2, "both say that they are up")
        # Somebody was about to load when the clock was set, and died.
        raw.set(keys.lease_key(installation.environment_id("prod")), "x", px=4_900)
        clock.set(STEPS[step])
        eventually(lambda: abs(ahead(raw) - STEPS[step]) < 60, "it was set")
        for word in ("off", "on", "off"):
            ran = cli.run("set", "dark_mode", word, "--env", "prod", "--wait")
            assert ran.code == 0, ran
            for reader in (first, second):
                wait_for(reader, prod.server_key, installation.revisions()["prod"], within=10)
        given_up = sum(reader.metric("flagctl_turns_given_up_total") for reader in (first, second))
        assert given_up == 0
        eventually(lambda: len(cli.json("readers")["readers"]) == 2, "both say that they are up")


@pytest.fixture
def postgres(
    clock: Clock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[EmbeddedPostgres]:
    made = server_support.embedded_postgres(tmp_path)
    command = made._command
    monkeypatch.setattr(made, "_command", lambda: by(clock, command()))
    with made:
        yield made


def test_postgress_clock(
    clock: Clock, postgres: EmbeddedPostgres, servers: server_support.Servers, tmp_path: Path
) -> None:
    """The log's times never go back, and changes arrive as before. Tokens follow it."""
    superuser = server_support.superuser_url(postgres)
    cluster = Cluster(superuser, servers.redis, tmp_path / "keys")
    with cluster.installation() as installation:
        cli = CommandLine(installation, installation.environ())
        prod, timed = readers.fill(installation), add_timed(installation)
        with readers.running(tmp_path, settings(installation, tmp_path)) as reader:
            for seconds in (HOUR, 0):
                clock.set(seconds)
                with installation.connect() as connection:
                    row = connection.execute("SELECT extract(epoch FROM now())").fetchone()
                    assert row is not None
                    assert abs(float(row[0]) - true_clock.now().timestamp() - seconds) < 60
                for word in ("off", "on"):
                    cli.ok("set", "dark_mode", word, "--env", "prod")
                    revision = installation.revisions()["prod"]
                    wait_for(reader, prod.server_key, revision, within=10)
                assert state(reader, prod, timed) == ON, "the reader's clock decides"
                eventually(lambda: not_stale(reader, prod), "it is fresh")
            log = installation.ask("SELECT seq, occurred_at FROM flagctl.audit_events ORDER BY 1")
            assert [row[1] for row in log] == sorted(row[1] for row in log)
            assert [row[0] for row in log] == list(range(1, len(log) + 1))
            clock.set(-HOUR)
            assert "not valid before" in cli.fails(3, "set", "dark_mode", "off", "--env", "prod")
            assert reader.get("/v1/flags", prod.server_key).status == 200
            clock.set(25 * HOUR)
            assert "expired" in cli.fails(3, "set", "dark_mode", "off", "--env", "prod")
            clock.set(0)
            cli.ok("set", "dark_mode", "off", "--env", "prod")
    cluster.close()
