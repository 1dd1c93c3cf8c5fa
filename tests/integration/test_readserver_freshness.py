"""How a change reaches a running read server, with messages and without."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis

from core import clock, notifications
from core.cache import keys
from core.cache.invalidation import Change, announce
from core.services import api_keys, environments, flags
from core.services.change import Options
from core.services.configs import set_value
from core.snapshot.document import Version
from tests.support import proxies, readers
from tests.support.installations import Installation
from tests.support.readers import Prod, Reader, revision_at, switch, wait_for
from tests.support.waiting import eventually


@pytest.fixture
def reader(installation: Installation, prod: Prod, tmp_path: Path) -> Iterator[Reader]:
    """A reader that holds prod."""
    with readers.running(tmp_path, readers.settings_for(installation)) as running:
        assert running.get("/v1/flags", prod.server_key).status == 200
        yield running


def deaf_settings(installation: Installation) -> dict[str, str]:
    """No Redis, and listening where nobody speaks: every message is lost."""
    elsewhere = installation.superuser_url.reveal().replace(f"/{installation.name}?", "/postgres?")
    settings = readers.settings_for(installation, redis=False)
    return settings | {"FLAGCTL_LISTEN_DATABASE_URL": elsewhere}


def is_on(reader: Reader, key: str) -> bool:
    value: bool = reader.get("/v1/flags", key).json()["dark_mode"]
    return value


def test_a_change_is_served_at_once(installation: Installation, prod: Prod, tmp_path: Path) -> None:
    """Long before a check would find it: there is none."""
    settings = readers.settings_for(installation) | {"FLAGCTL_CHECK_INTERVAL": "600"}
    with readers.running(tmp_path, settings) as reader:
        assert reader.get("/v1/flags", prod.server_key).status == 200
        for state in ("off", "on", "off"):
            revision = switch(installation, state)
            wait_for(reader, prod.server_key, revision, within=20)
            assert is_on(reader, prod.server_key) is (state == "on")
        expires(installation, prod, reader)


def expires(installation: Installation, prod: Prod, reader: Reader) -> None:
    """A flag's time is over: the revision stays, the answers and their tags do not."""
    switch(installation, "on")
    with installation.change() as change:
        soon = clock.now() + timedelta(seconds=1)
        flags.update_flag(change, "dark_mode", flags.Edit(expires_at=soon))
    revision = change.outcome.raised[-1].revision
    wait_for(reader, prod.server_key, revision, within=20)
    bulk = ("POST", "/ofrep/v1/evaluate/flags", prod.server_key)
    before = reader.ask(*bulk, body=b"{}")
    eventually(lambda: not is_on(reader, prod.server_key), "the flag expires", within=20)
    assert clock.now() >= soon
    after = reader.ask(*bulk, body=b"{}", headers={"if_none_match": before.headers["etag"]})
    assert after.status == (200 if b'"dark_mode","value":true' in before.body else 304)
    found = {flag["key"]: flag for flag in reader.ask(*bulk, body=b"{}").json()["flags"]}
    assert (found["dark_mode"]["value"], found["dark_mode"]["metadata"]["expired"]) == (False, True)
    assert after.headers["flagctl-revision"] == str(revision)


def test_by_redis_alone(installation: Installation, prod: Prod, tmp_path: Path) -> None:
    settings = deaf_settings(installation) | {
        "FLAGCTL_REDIS_URL": installation.redis.reader.reveal(),
        "FLAGCTL_CHECK_INTERVAL": "600",
    }
    with readers.running(tmp_path, settings) as reader:
        reader.get("/v1/flags", prod.server_key)
        revision = switch(installation, "off")
        version = stored_version(installation)
        change = Change(installation.environment_id("prod"), version.epoch, revision, version.stamp)
        assert announce(installation.redis.writer, [change]) is None
        wait_for(reader, prod.server_key, revision, within=20)


def test_without_any_message_the_check_finds_it(
    installation: Installation, prod: Prod, tmp_path: Path
) -> None:
    with readers.running(tmp_path, deaf_settings(installation)) as reader:
        reader.get("/v1/flags", prod.server_key)
        for state in ("off", "on"):
            checks = reader.metric("flagctl_checks_total")
            revision = switch(installation, state)
            wait_for(reader, prod.server_key, revision, within=20)
            # One may have been under way, and others come while the answer is asked for.
            assert reader.metric("flagctl_checks_total") > checks


@contextmanager
def behind_a_proxy(
    installation: Installation, **settings: str
) -> Iterator[tuple[proxies.Proxy, Reader]]:
    """A reader without Redis, and what stands between it and Postgres."""
    url = installation.reader_url.reveal()
    if "host=" not in url:
        pytest.skip("this Postgres is not reached by a Unix socket")
    with (
        tempfile.TemporaryDirectory(prefix="fc-") as folder,
        proxies.before_postgres(url, Path(folder)) as (proxy, address),
        readers.running(
            Path(folder), {"FLAGCTL_READER_DATABASE_URL": address} | settings
        ) as reader,
    ):
        yield proxy, reader


def test_connections_that_were_dropped_without_a_word(
    installation: Installation, prod: Prod
) -> None:
    """What pushes is deaf, and the kept connection for loads would wait for ever: the check finds
    the change, and the load asks for a sign of life before it waits."""
    with behind_a_proxy(installation, FLAGCTL_CHECK_INTERVAL="0.5") as (proxy, reader):
        assert reader.get("/v1/flags", prod.server_key).status == 200
        for state in ("off", "on"):
            proxy.forget()
            wait_for(reader, prod.server_key, switch(installation, state), within=20)
        assert reader.metric("flagctl_postgres_failures_total") == 0


@pytest.mark.parametrize("which", ["kept", "new"])
def test_a_connection_that_is_dropped_in_the_middle_of_a_load(
    installation: Installation, prod: Prod, which: str
) -> None:
    """It had just shown that it is alive; checks go on beside it, so nothing is stale."""
    with (
        behind_a_proxy(installation) as (proxy, reader),
        installation.connect() as locking,
    ):
        assert reader.get("/v1/flags", prod.server_key).status == 200
        with locking.transaction():
            locking.execute("LOCK TABLE flagctl.configs IN ACCESS EXCLUSIVE MODE")
            if which == "new":
                proxy.hang_up()
            revision = switch(installation, "off")
            eventually(lambda: waiting(installation) == 1, "a load waits for the lock")
            proxy.forget()
        wait_for(reader, prod.server_key, revision, within=20)
        assert reader.metric("flagctl_postgres_failures_total") == 0
        assert reader.metric("flagctl_failed_checks_total") == 0


def test_what_is_not_loaded_in_time_says_that_it_is_old(
    installation: Installation, prod: Prod, reader: Reader
) -> None:
    """Checks go on and say that there is something newer; the load of it waits for a lock."""
    answers = [reader.get("/v1/flags", prod.server_key) for _ in range(3)]
    assert answers[-1].headers["x-cache"] == "memory"  # and the fast lane remembers it
    with installation.connect() as locking, locking.transaction():
        locking.execute("LOCK TABLE flagctl.configs IN ACCESS EXCLUSIVE MODE")
        revision = switch(installation, "off")
        for path in ("/v1/flags", "/ofrep/v1/evaluate/flags"):
            eventually(partial(is_marked, reader, path, prod), f"{path} says so")
        assert reader.get("/readyz").json()["stale"] is False
        assert revision_at(reader, prod.server_key) < revision
        assert reader.metric("flagctl_postgres_failures_total") == 0
    wait_for(reader, prod.server_key, revision, within=20)
    assert not any(is_marked(reader, path, prod) for path in ("/v1/flags", "/v1/configs"))


def is_marked(reader: Reader, path: str, prod: Prod) -> bool:
    """Whether an answer of either kind says that it is old, and by how much."""
    body = b'{"context":{}}' if path.startswith("/ofrep") else None
    answer = reader.ask(
        "POST" if body else "GET",
        path,
        prod.server_key,
        body=body,
        headers={"Content-Type": "application/json"} if body else {},
    )
    assert answer.status == 200
    marks = [name in answer.headers for name in ("flagctl-stale", "age")]
    assert marks in ([True, True], [False, False])
    return all(marks)


def waiting(installation: Installation) -> int:
    """Connections of readers that wait for a lock."""
    ((count,),) = installation.ask(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        " AND application_name = 'flagctl readserver' AND wait_event_type = 'Lock'"
    )
    return int(count)


def test_a_revoked_key_is_refused_as_fast(
    installation: Installation, prod: Prod, reader: Reader
) -> None:
    with installation.change() as change:
        api_keys.revoke_key(change, "client", "prod")
    eventually(lambda: reader.get("/v1/flags", prod.client_key).status == 401, "refused", within=20)
    assert reader.get("/v1/flags", prod.server_key).status == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/ofrep/v1/evaluate/flags"),
        ("POST", "/ofrep/v1/evaluate/flags/banner"),
        ("POST", "/v1/flags"),
        ("GET", "/v1/stream"),
    ],
)
def test_a_revoked_key_gets_nothing_that_is_newer(
    installation: Installation, prod: Prod, tmp_path: Path, method: str, path: str
) -> None:
    """The reader hears of the revision from the one whose key it revokes, and from nobody else."""
    settings = deaf_settings(installation) | {"FLAGCTL_CHECK_INTERVAL": "600"}
    with readers.running(tmp_path, settings) as reader:
        assert reader.get("/v1/flags", prod.client_key).status == 200
        with installation.change() as change:
            api_keys.revoke_key(change, "client", "prod")
        revision = installation.revisions()["prod"]
        path += f"?flagConfigEtag={revision}-{'0' * 16}"
        assert reader.ask(method, path, prod.client_key, body=b"{}").status == 401
        assert revision_at(reader, prod.server_key) == revision


def test_a_new_key_and_a_new_environment_work_at_once(
    installation: Installation, prod: Prod, reader: Reader
) -> None:
    with installation.change() as change:
        environments.create_environment(change, "canary")
        key = api_keys.create_key(change, "k", "canary").key
    eventually(lambda: reader.get("/v1/flags", key).status == 200, "the key works", within=20)


def test_a_deleted_environment_is_401(
    installation: Installation, prod: Prod, reader: Reader
) -> None:
    with installation.change(options=Options(confirmed=True)) as change:
        environments.delete_environment(change, "prod")
    eventually(lambda: reader.get("/v1/flags", prod.server_key).status == 401, "gone", within=20)


def test_a_new_epoch_is_taken_with_a_lower_revision(
    installation: Installation, prod: Prod, reader: Reader
) -> None:
    before = revision_at(reader, prod.server_key)
    with installation.connect() as connection:
        connection.execute("UPDATE flagctl.installation SET epoch_generation = 7")
        connection.execute("ALTER TABLE flagctl.environments DISABLE TRIGGER USER")
        connection.execute(
            "UPDATE flagctl.environments SET revision = 1, stamp = gen_random_uuid()"
        )
        connection.execute("ALTER TABLE flagctl.environments ENABLE TRIGGER USER")
    assert before > 1
    eventually(lambda: revision_at(reader, prod.server_key) == 1, "the new epoch", within=20)
    revision = switch(installation, "off")
    wait_for(reader, prod.server_key, revision, within=20)


def test_a_restore_without_a_new_epoch_is_noticed(
    installation: Installation, prod: Prod, reader: Reader
) -> None:
    with installation.connect() as connection:
        connection.execute("ALTER TABLE flagctl.environments DISABLE TRIGGER USER")
        connection.execute(
            "UPDATE flagctl.environments SET revision = revision - 1, stamp = gen_random_uuid()"
        )
        connection.execute("ALTER TABLE flagctl.environments ENABLE TRIGGER USER")
    revision = installation.revisions()["prod"]
    eventually(lambda: revision_at(reader, prod.server_key) == revision, "noticed", within=20)


def stored_version(installation: Installation) -> Version:
    row = installation.ask(
        "SELECT flagctl.epoch(), revision, stamp::text FROM flagctl.environments WHERE key = 'prod'"
    )[0]
    return Version(*row)


@pytest.fixture
def raw(installation: Installation) -> Iterator[Any]:
    with redis.Redis.from_url(installation.redis.administrator.reveal()) as client:
        yield client


def test_a_second_reader_starts_from_redis(
    installation: Installation, prod: Prod, reader: Reader, raw: Any, tmp_path: Path
) -> None:
    entry = keys.snapshot_key(installation.environment_id("prod"))
    eventually(lambda: raw.hexists(entry, "data"), "the copy is in Redis")
    with readers.running(tmp_path, readers.settings_for(installation)) as second:
        answer = second.get("/v1/flags", prod.server_key)
        assert (answer.status, answer.headers["x-cache"]) == (200, "redis")


@pytest.mark.parametrize("forged", ["data", "mac", "revision", "tombstone", "old"])
def test_what_is_forged_in_redis_is_never_served(
    installation: Installation, prod: Prod, reader: Reader, raw: Any, tmp_path: Path, forged: str
) -> None:
    entry = keys.snapshot_key(installation.environment_id("prod"))
    eventually(lambda: raw.hexists(entry, "data"), "the copy is in Redis")
    original = raw.hgetall(entry)
    if forged == "data":
        data = original[b"data"].replace(b'["dark_mode"', b'["dark_mood"')
        raw.hset(entry, "data", data)
    elif forged == "mac":
        raw.hset(entry, "mac", b"\0" * 32)
    elif forged == "revision":
        raw.hset(entry, "revision", "9" * 18)
    elif forged == "tombstone":
        raw.hdel(entry, "mac", "data")
        raw.hset(entry, "revision", "9" * 18)
    else:  # a true copy of yesterday
        revision = switch(installation, "off")
        eventually(lambda: raw.hget(entry, "revision") == str(revision).encode(), "newer copy")
        raw.delete(entry)
        raw.hset(entry, mapping=original)
    with readers.running(tmp_path, readers.settings_for(installation)) as second:
        answer = second.get("/v1/flags", prod.server_key)
        assert (answer.status, answer.headers["x-cache"]) == (200, "database")
        assert answer.json()["dark_mode"] is (forged != "old")
        revision = installation.revisions()["prod"]
        eventually(
            lambda: (
                raw.hget(entry, "revision") == str(revision).encode() and raw.hexists(entry, "data")
            ),
            "the forged entry is replaced",
        )


def test_a_forged_message_of_the_far_future_changes_nothing(
    installation: Installation, prod: Prod, reader: Reader, raw: Any
) -> None:
    environment_id = installation.environment_id("prod")
    before = reader.metric("flagctl_postgres_loads_total")
    for _ in range(20):
        raw.publish(notifications.CHANNEL, f"{environment_id} {10**17}")
    raw.publish(notifications.CHANNEL, b"\xff\x00 nonsense")
    raw.publish(notifications.CHANNEL, f"{'f' * 16} 5")
    revision = switch(installation, "off")
    wait_for(reader, prod.server_key, revision, within=20)
    # A loop of reloads would show after two checks more.
    checks = reader.metric("flagctl_checks_total")
    eventually(lambda: reader.metric("flagctl_checks_total") >= checks + 2, "two checks", within=20)
    assert reader.metric("flagctl_postgres_loads_total") - before < 25
    revision = switch(installation, "on")
    wait_for(reader, prod.server_key, revision, within=20)


def test_one_answer_is_of_one_revision_and_never_goes_back(
    installation: Installation, prod: Prod, reader: Reader
) -> None:
    seen = [revision_at(reader, prod.server_key)]
    for number in range(15):
        with installation.change() as change:
            set_value(change, "max_items", "prod", number)
        for _ in range(5):
            answer = reader.get("/v1/configs", prod.server_key)
            seen.append(int(answer.headers["flagctl-revision"]))
    assert seen == sorted(seen)


def test_few_connections_and_their_names(
    installation: Installation, prod: Prod, reader: Reader
) -> None:
    rows = installation.ask(
        "SELECT application_name, count(*) FROM pg_stat_activity WHERE usename = %s"
        " AND datname = current_database() GROUP BY 1",
        [installation.reader_url.reveal().split("//")[1].split(":")[0]],
    )
    assert [name for name, _ in rows] == ["flagctl readserver"]
    assert rows[0][1] <= 3
