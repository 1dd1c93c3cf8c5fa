"""Postgres killed, hung, in recovery, and without a connection to spare, while applications ask.

Not one read of what is held fails. A write ends with exit code 7, and nothing of it is there.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest

from core import sessions
from flagctl.embedded.postgres import EmbeddedPostgres
from flagctl.embedded.valkey import EmbeddedValkey
from tests.support import alerts, proxies, readers
from tests.support.command_lines import CommandLine
from tests.support.installations import Cluster, Installation
from tests.support.readers import Prod, Reader, wait_for
from tests.support.servers import Servers
from tests.support.traffic import OF_APPLICATIONS, Traffic, traffic
from tests.support.waiting import eventually


@pytest.fixture
def installation(own_cluster: Cluster) -> Iterator[Installation]:
    with own_cluster.installation() as made:
        yield made


@pytest.fixture
def prod(installation: Installation) -> Prod:
    made = readers.fill(installation)
    # These servers commit asynchronously: what a kill must not take is written out first.
    installation.run("CHECKPOINT")
    return made


@pytest.fixture
def postgres(breakable: Servers) -> EmbeddedPostgres:
    assert breakable.postgres is not None
    return breakable.postgres


@pytest.fixture
def valkey(breakable: Servers) -> EmbeddedValkey:
    assert breakable.valkey is not None
    return breakable.valkey


@pytest.fixture
def cli(installation: Installation) -> CommandLine:
    """It gives a server that accepts and says nothing as little time as libpq knows."""
    hasty = f"{installation.admin_url.reveal()}&connect_timeout=2"
    return CommandLine(installation, installation.environ() | {"FLAGCTL_DATABASE_URL": hasty})


def settings(installation: Installation, folder: Path) -> dict[str, str]:
    own = {"FLAGCTL_CHECK_INTERVAL": "0.5", "FLAGCTL_LAST_GOOD_FOLDER": str(folder / "last-good")}
    return readers.settings_for(installation) | own


Fault = Callable[[EmbeddedPostgres, Installation], Any]


@contextmanager
def killed(postgres: EmbeddedPostgres, _installation: Installation) -> Iterator[None]:
    postgres.kill()
    try:
        yield
    finally:
        postgres.start()


@contextmanager
def hung(postgres: EmbeddedPostgres, _installation: Installation) -> Iterator[None]:
    postgres.suspend()
    try:
        yield
    finally:
        postgres.resume()


@contextmanager
def in_recovery(postgres: EmbeddedPostgres, installation: Installation) -> Iterator[None]:
    """A process of it died, so that all have to go; one does not, and until it does, everybody is
    told that the database is in recovery."""
    url = installation.superuser_url.reveal()
    with psycopg.connect(url) as holding, psycopg.connect(url) as dying:
        held = holding.info.backend_pid
        os.kill(held, signal.SIGSTOP)
        os.kill(dying.info.backend_pid, signal.SIGKILL)
        try:
            eventually(lambda: "in recovery mode" in refusal(url), "it recovers")
            yield
        finally:
            os.kill(held, signal.SIGCONT)
    eventually(lambda: refusal(url) == "", "it takes connections again", within=20)


@contextmanager
def without_connections(_postgres: EmbeddedPostgres, installation: Installation) -> Iterator[None]:
    """Somebody takes all that there are, and each that gets free: the one that the reader gives up
    for a new one, too."""
    url, refusals, stop = installation.admin_url.reveal(), list[str](), threading.Event()
    with ExitStack() as stack:

        def take() -> None:
            while not stop.is_set():
                try:
                    stack.callback(psycopg.connect(url).close)
                except psycopg.OperationalError as error:
                    refusals.append(str(error))
                    stop.wait(0.05)

        taking = threading.Thread(target=take)
        taking.start()
        try:
            eventually(lambda: refusals, "there are no more", within=20)
            assert "remaining connection slots" in refusals[0] or "too many" in refusals[0]
            yield
        finally:
            stop.set()
            taking.join(20)


def refusal(url: str) -> str:
    """Why nobody gets a connection; empty if one does."""
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError as error:
        return str(error)
    return ""


FAULTS: dict[str, tuple[Fault, str]] = {
    "killed": (killed, "Postgres is unavailable: "),
    "hung": (hung, "Postgres is unavailable: "),
    "in recovery": (in_recovery, "the database system is in recovery mode"),
    "without connections": (without_connections, "connection"),
}


def is_right(path: str, document: Any) -> bool:
    if path.endswith("/dark_mode"):
        return type(document["value"]) is bool
    values = document if path == "/v1/flags" else {f["key"]: f["value"] for f in document["flags"]}
    return values.keys() == {"banner", "dark_mode", "hidden"}


@contextmanager
def applications(reader: Reader, prod: Prod) -> Iterator[Traffic]:
    """They ask all the time, and never is anything but right. What they ask for is held."""
    assert reader.get("/v1/flags", prod.server_key).status == 200
    asking = traffic(
        *(reader.port, prod.server_key, is_right), requests=OF_APPLICATIONS, with_tags=True
    )
    with asking as clients:
        yield clients
    assert clients.failures == []
    assert min(clients.answers) > 20
    assert clients.not_modified > 0


def all_say_stale(clients: Traffic) -> bool:
    return all(h.get("flagctl-stale") == "true" and "age" in h for h in list(clients.headers))


def none_says_stale(clients: Traffic) -> bool:
    return not any("flagctl-stale" in h or "age" in h for h in list(clients.headers))


def everything(installation: Installation) -> list[Any]:
    """State, audit and revisions."""
    return [
        installation.ask(f"SELECT * FROM flagctl.{table} ORDER BY 1, 2")
        for table in ("flags", "overrides", "environments", "audit_events", "organizations")
    ]


@pytest.mark.parametrize("fault", FAULTS)
def test_under_load(
    installation: Installation,
    prod: Prod,
    postgres: EmbeddedPostgres,
    cli: CommandLine,
    tmp_path: Path,
    fault: str,
) -> None:
    before = everything(installation)
    begin, said = FAULTS[fault]
    with (
        readers.running(tmp_path, settings(installation, tmp_path)) as reader,
        applications(reader, prod) as clients,
    ):
        with begin(postgres, installation):
            for command in (("set", "dark_mode", "off", "--env", "prod"), ("create", "another")):
                ran = cli.run(*command)
                assert (ran.code, ran.stdout) == (7, ""), ran
                assert said in ran.stderr
            eventually(lambda: all_say_stale(clients), "they are told that it is stale", within=20)
            ready = reader.get("/readyz")
            assert (ready.status, ready.json()["stale"]) == (200, True)
        eventually(lambda: none_says_stale(clients), "fresh again", within=20)
        assert everything(installation) == before
        cli.ok("set", "dark_mode", "off", "--env", "prod")
        wait_for(reader, prod.server_key, installation.revisions()["prod"], within=20)
        assert not [line for line in reader.lines() if line["level"] == "error"]


@pytest.mark.parametrize("when", ["in the middle", "at the commit"])
def test_it_hangs_while_a_change_is_open(
    installation: Installation,
    prod: Prod,
    cli: CommandLine,
    monkeypatch: pytest.MonkeyPatch,
    when: str,
) -> None:
    """A statement time-out is the server's, and a server that hangs keeps none."""
    monkeypatch.setattr(sessions, "PATIENCE_SECONDS", 0.5)
    before, address = everything(installation), installation.admin_url.reveal()
    with (
        TemporaryDirectory(prefix="fc-") as short,
        proxies.before_postgres(address, Path(short)) as (way, hanging),
    ):
        begun: list[str] = []

        def watch(moment: str) -> bool:
            begun.append(moment)
            return True

        way.watch = watch
        ran = cli.run("set", "dark_mode", "--env", "dev", FLAGCTL_DATABASE_URL=hanging)
        assert ran.code == 0
        pieces, changed = begun.count("before"), everything(installation)
        assert changed != before
        silent_from = pieces - 1 if when == "at the commit" else pieces - 2
        begun.clear()

        def fall_silent(moment: str) -> bool:
            begun.append(moment)
            way.is_silent = way.is_silent or begun.count("before") >= silent_from
            return True

        way.watch = fall_silent
        ran = cli.run("set", "dark_mode", "off", "--env", "dev", FLAGCTL_DATABASE_URL=hanging)
        assert (ran.code, ran.stdout) == (7, "")
        assert "it did not answer within 0.5 s" in ran.stderr
        unknown = "Whether the change is committed is not known" in ran.stderr
        assert unknown is (when == "at the commit")
        way.hang_up()
    assert everything(installation) == changed
    cli.ok("set", "dark_mode", "off", "--env", "dev")


@pytest.mark.parametrize("how", ["killed", "hung"])
def test_both_lost_under_load(
    installation: Installation,
    prod: Prod,
    postgres: EmbeddedPostgres,
    valkey: EmbeddedValkey,
    cli: CommandLine,
    tmp_path: Path,
    how: str,
) -> None:
    """What was known last is served, also by a server that is started again."""
    given = settings(installation, tmp_path)
    with readers.running(tmp_path, given) as reader:
        with applications(reader, prod) as clients:
            eventually(lambda: min(clients.answers) > 0, "it holds prod")
            eventually(lambda: list((tmp_path / "last-good").glob("*.snapshot")), "it is kept")
            assert alerts.firing(reader) == set()
            for engine in (valkey, postgres):
                engine.kill() if how == "killed" else engine.suspend()
            assert cli.run("set", "dark_mode", "off", "--env", "prod").code == 7
            eventually(lambda: all_say_stale(clients), "they are told that it is stale", within=20)
            eventually(lambda: int(clients.headers[0]["age"]) >= 1, "it ages")
            assert_it_is_said(reader)
        reader.process.kill()
        reader.process.wait(20)
    with (
        readers.running(tmp_path, given) as again,
        applications(again, prod) as clients,
    ):
        eventually(lambda: all_say_stale(clients), "they are told that it is stale")
        eventually(lambda: int(clients.headers[0]["age"]) >= 1, "its age goes on")
        assert_it_is_said(again)
        postgres.start() if how == "killed" else postgres.resume()
        eventually(lambda: none_says_stale(clients), "fresh again", within=20)
        valkey.start() if how == "killed" else valkey.resume()
        eventually(lambda: again.get("/readyz").json()["redis"] == "up", "Redis is back")
        eventually(lambda: alerts.firing(again) == set(), "no rule fires any more")
        cli.ok("set", "dark_mode", "off", "--env", "prod")
        wait_for(again, prod.server_key, installation.revisions()["prod"], within=20)


def assert_it_is_said(reader: Reader) -> None:
    eventually(lambda: reader.get("/readyz").json()["redis"] == "down", "a Redis that hangs, too")
    ready = reader.get("/readyz")
    document = ready.json()
    assert (ready.status, document["stale"], document["postgres"]) == (200, True, "down")
    assert document["age_seconds"] > 0
    expected = {"FlagctlStale", "FlagctlPostgresDown", "FlagctlRedisDown"}
    eventually(lambda: alerts.firing(reader) == expected, "its rules fire")
