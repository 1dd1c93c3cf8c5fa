"""One worker listens for its host: who hears of a change, and what it costs Postgres."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from core import notifications
from core.auth.api_keys import KeyKind, generate
from core.cache.invalidation import Change, announce
from core.services.configs import set_value
from tests.support import outages, readers, workers
from tests.support.installations import Installation
from tests.support.readers import Prod, Reader, switch, wait_for
from tests.support.waiting import eventually

CHANGES = 40


@contextmanager
def serving(
    installation: Installation, prod: Prod, folder: Path, count: int, **settings: str
) -> Iterator[Reader]:
    """Each worker holds prod, and one listens."""
    given = readers.settings_for(installation) | {"FLAGCTL_WORKERS": str(count)} | settings
    with readers.running(folder, given) as reader:
        if count > 1:
            eventually(lambda: workers.listening(reader) == count, "all answer")
            workers.all_hold(reader, prod.server_key, count)
        eventually(lambda: workers.listeners(installation) == 1, "one listens")
        yield reader


@contextmanager
def stopped(pid: int) -> Iterator[None]:
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def change(installation: Installation, number: int) -> int:
    """As a command does it: commit, then tell Redis."""
    with installation.change() as opened:
        set_value(opened, "max_items", "prod", number)
    (raised,) = opened.outcome.raised
    told = Change(raised.public_id, opened.outcome.epoch, raised.revision, str(raised.stamp))
    assert announce(installation.redis.writer, [told]) is None
    return raised.revision


@pytest.mark.parametrize("count", [1, 3])
def test_connections(installation: Installation, prod: Prod, tmp_path: Path, count: int) -> None:
    """One for each worker, one that listens and one that checks: while things change, while they
    are checked all the time, and while the log is read by more than may."""
    token, unknown = f"Bearer {installation.token.reveal()}", generate(KeyKind.SERVER, "f" * 16)
    with (
        serving(installation, prod, tmp_path, count, FLAGCTL_CHECK_INTERVAL="1") as reader,
        ThreadPoolExecutor(8) as threads,
        workers.connections(installation) as seen,
    ):

        def ask(_: int) -> int:
            reader.get("/v1/flags", unknown)
            return reader.get("/admin/audit-logs?limit=100", token, admin=True).status

        pages = [threads.submit(ask, number) for number in range(CHANGES * 4)]
        for number in range(CHANGES):
            wait_for(reader, prod.server_key, change(installation, number), within=20)
        assert {page.result() for page in pages} == {200}
        checks = reader.metric("flagctl_checks_total")
        eventually(lambda: reader.metric("flagctl_checks_total") > checks + 3, "it is checked")
        with installation.connect() as locking, locking.transaction():
            locking.execute("LOCK TABLE flagctl.audit_events IN ACCESS EXCLUSIVE MODE")
            waiting = [threads.submit(ask, number) for number in range(8)]
            before = reader.metric("flagctl_checks_total")
            eventually(lambda: reader.metric("flagctl_checks_total") > before + 3, "checked on")
        assert {page.result() for page in waiting} <= {200, 503}
    assert seen.samples > 100
    assert count + 1 < seen.most <= count + 2


def test_one_listens_and_all_follow(installation: Installation, prod: Prod, tmp_path: Path) -> None:
    """Long before a check would find it: there is none."""
    with serving(installation, prod, tmp_path, 3, FLAGCTL_CHECK_INTERVAL="600") as reader:
        eventually(lambda: sum(workers.by_worker(reader, "flagctl_leads").values()) == 1, "one")
        for state in ("off", "on"):
            workers.serve(reader, 3, switch(installation, state))
        workers.serve(reader, 3, change(installation, 7))
        told = workers.by_worker(reader, "flagctl_notifications_total")
        assert set(told) == {"0", "1", "2"}
        assert workers.listeners(installation) == 1
        checks = workers.by_worker(reader, "flagctl_checks_total")
        assert sorted(map(bool, checks.values())) == [False, False, True], "one asks for all"


def test_without_any_message_the_check_of_one_is_for_all(
    installation: Installation, prod: Prod, tmp_path: Path
) -> None:
    deaf = {"FLAGCTL_REDIS_URL": "", "FLAGCTL_LISTEN_DATABASE_URL": outages.elsewhere(installation)}
    own = deaf | {"FLAGCTL_CHECK_INTERVAL": "0.5"}
    count, settings = 3, readers.settings_for(installation, redis=False) | own
    with readers.running(tmp_path, settings | {"FLAGCTL_WORKERS": str(count)}) as reader:
        eventually(lambda: workers.listening(reader) == count, "all answer")
        workers.all_hold(reader, prod.server_key, count)
        for state in ("off", "on"):
            workers.serve(reader, count, switch(installation, state))


def test_another_listens_when_the_leader_dies(
    installation: Installation, prod: Prod, tmp_path: Path
) -> None:
    with serving(installation, prod, tmp_path, 2, FLAGCTL_CHECK_INTERVAL="600") as reader:
        leader = workers.leader(reader)
        led = workers.by_worker(reader, "flagctl_leads")
        os.kill(leader, signal.SIGKILL)
        wait_for(reader, prod.server_key, switch(installation, "off"), within=20)
        eventually(lambda: workers.listening(reader) == 3, "it is started again")
        eventually(
            lambda: workers.by_worker(reader, "flagctl_leads") == {"0": led["1"], "1": led["0"]},
            "the other leads",
        )
        workers.all_hold(reader, prod.server_key, 2)
        workers.serve(reader, 2, switch(installation, "on"))
        assert workers.listeners(installation) == 1


def test_a_worker_that_is_started_again_knows_what_the_others_know(
    installation: Installation, prod: Prod, tmp_path: Path
) -> None:
    """From them: it has not asked Postgres, and nobody does for ten minutes."""
    with serving(installation, prod, tmp_path, 2, FLAGCTL_CHECK_INTERVAL="600") as reader:
        leader = workers.leader(reader)
        number = str(sorted(workers.pids(reader)).index(leader))
        (follower,) = workers.pids(reader) - {leader}
        other = {"0": "1", "1": "0"}[number]

        def answered() -> float:
            return workers.by_worker(reader, "flagctl_responses_total").get(other, 0.0)

        eventually(answered, "it has answered")
        os.kill(follower, signal.SIGKILL)
        eventually(lambda: workers.listening(reader) == 3, "it is started again")
        eventually(lambda: answered() == 0, "it is new")
        eventually(
            lambda: workers.by_worker(reader, "flagctl_environments")[other] == 1,
            "it holds what nobody asked it for",
        )
        assert answered() == 0
        assert workers.by_worker(reader, "flagctl_postgres_up") == {"0": 1.0, "1": 1.0}
        assert workers.by_worker(reader, "flagctl_checks_total")[other] == 0
        workers.serve(reader, 2, switch(installation, "off"))


@pytest.mark.parametrize("interval", ["600", "2"])
def test_another_listens_while_the_leader_is_stopped(
    installation: Installation, prod: Prod, tmp_path: Path, interval: str
) -> None:
    with serving(installation, prod, tmp_path, 2, FLAGCTL_CHECK_INTERVAL=interval) as reader:
        leader = workers.leader(reader)
        with stopped(leader):
            wait_for(reader, prod.server_key, switch(installation, "off"), within=20)
            wait_for(reader, prod.server_key, switch(installation, "on"), within=20)
            wait_for(reader, prod.server_key, change(installation, 7), within=20)
        eventually(lambda: workers.listeners(installation) == 1, "one listens")
        workers.serve(reader, 2, switch(installation, "off"))
        assert workers.leader(reader) != leader
        with workers.connections(installation) as seen:
            eventually(lambda: seen.samples > 300, "looked at")
        assert seen.most <= 4


def test_the_check_is_made_while_the_leader_is_stopped(
    installation: Installation, prod: Prod, tmp_path: Path
) -> None:
    """Every message is lost as well."""
    deaf = {"FLAGCTL_LISTEN_DATABASE_URL": outages.elsewhere(installation), "FLAGCTL_WORKERS": "2"}
    settings = (
        readers.settings_for(installation, redis=False) | deaf | {"FLAGCTL_CHECK_INTERVAL": "0.5"}
    )
    with readers.running(tmp_path, settings) as reader:
        eventually(lambda: workers.listening(reader) == 2, "both answer")
        workers.all_hold(reader, prod.server_key, 2)
        with stopped(workers.leader(reader)):
            for state in ("off", "on"):
                wait_for(reader, prod.server_key, switch(installation, state), within=20)
        workers.serve(reader, 2, switch(installation, "off"))


def test_all_know_that_postgres_is_away(
    installation: Installation, prod: Prod, tmp_path: Path
) -> None:
    with serving(installation, prod, tmp_path, 3, FLAGCTL_CHECK_INTERVAL="0.5") as reader:

        def stale(value: float) -> bool:
            found = workers.by_worker(reader, "flagctl_stale")
            return found == dict.fromkeys(("0", "1", "2"), value)

        with outages.without_postgres(installation):
            eventually(lambda: stale(1), "all say that they are stale")
            assert reader.get("/v1/flags", prod.server_key).headers["flagctl-stale"] == "true"
        eventually(lambda: stale(0), "none does any more")
        eventually(lambda: workers.listeners(installation) == 1, "one listens")
        workers.serve(reader, 3, switch(installation, "off"))


def test_a_flood_and_one_that_does_not_hear_it(
    installation: Installation, prod: Prod, tmp_path: Path
) -> None:
    environment_id = installation.environment_id("prod")
    with serving(installation, prod, tmp_path, 3, FLAGCTL_CHECK_INTERVAL="600") as reader:
        deaf = next(iter(workers.pids(reader) - {workers.leader(reader)}))
        with redis.Redis.from_url(installation.redis.administrator.reveal()) as client:
            with stopped(deaf):
                for _ in range(5_000):
                    client.publish(notifications.CHANNEL, f"{environment_id} 1")
                wait_for(reader, prod.server_key, switch(installation, "off"), within=20)
            # What it missed it finds out by itself.
            workers.serve(reader, 3, installation.revisions()["prod"])
        workers.serve(reader, 3, switch(installation, "on"))
