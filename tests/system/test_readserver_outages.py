"""Postgres and Redis lost, hung and back, while a read server answers."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.auth.api_keys import KeyKind, generate
from tests.support import readers
from tests.support.installations import Cluster, Installation
from tests.support.readers import Prod, Reader, switch, wait_for
from tests.support.servers import Servers
from tests.support.waiting import eventually

pytestmark = pytest.mark.xdist_group("outages")


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
def reader(
    installation: Installation, prod: Prod, breakable: Servers, tmp_path: Path
) -> Iterator[Reader]:
    """A reader that holds prod; afterwards both servers run again."""
    settings = readers.settings_for(installation) | {"FLAGCTL_CHECK_INTERVAL": "0.5"}
    with readers.running(tmp_path, settings) as running:
        assert running.get("/v1/flags", prod.server_key).status == 200
        yield running


def is_stale(reader: Reader, key: str) -> bool:
    return reader.get("/v1/flags", key).headers.get("flagctl-stale") == "true"


@pytest.mark.parametrize("how", ["kill", "suspend"])
def test_without_redis_changes_still_arrive_and_reads_stay_fast(
    installation: Installation, prod: Prod, reader: Reader, breakable: Servers, how: str
) -> None:
    valkey = breakable.valkey
    assert valkey is not None
    getattr(valkey, how)()
    for state in ("off", "on"):
        revision = switch(installation, state)
        wait_for(reader, prod.server_key, revision, within=20)
    # Redis hangs until we wake it: whoever waited for it would not be answered.
    for _ in range(20):
        assert reader.get("/v1/flags", prod.server_key).status == 200
    assert not is_stale(reader, prod.server_key)
    eventually(lambda: reader.get("/readyz").json()["redis"] == "down", "noticed")
    valkey.start() if how == "kill" else valkey.resume()
    eventually(lambda: reader.get("/readyz").json()["redis"] == "up", "Redis is back")
    revision = switch(installation, "off")
    wait_for(reader, prod.server_key, revision, within=20)


def test_a_miss_with_a_hung_redis_is_answered(
    installation: Installation, prod: Prod, breakable: Servers, tmp_path: Path
) -> None:
    valkey = breakable.valkey
    assert valkey is not None
    valkey.suspend()
    try:
        with readers.running(tmp_path, readers.settings_for(installation)) as reader:
            answer = reader.get("/v1/flags", prod.server_key)
            assert (answer.status, answer.headers["x-cache"]) == (200, "database")
    finally:
        valkey.resume()


@pytest.mark.parametrize("how", ["kill", "suspend"])
def test_without_postgres_reads_go_on_and_say_so(
    installation: Installation, prod: Prod, reader: Reader, breakable: Servers, how: str
) -> None:
    postgres = breakable.postgres
    assert postgres is not None
    getattr(postgres, how)()
    eventually(lambda: is_stale(reader, prod.server_key), "it says that it is stale", within=20)
    answer = reader.get("/v1/flags", prod.server_key)
    assert (answer.status, answer.json()["dark_mode"]) == (200, True)
    assert int(answer.headers["age"]) >= 0
    ready = reader.get("/readyz")
    assert (ready.status, ready.json()["stale"]) == (200, True)
    etag = answer.headers["etag"]
    again = reader.get("/v1/flags", prod.server_key, if_none_match=etag)
    assert (again.status, again.headers["flagctl-stale"]) == (304, "true")
    eventually(lambda: int(reader.get("/v1/flags", prod.server_key).headers["age"]) >= 1, "it ages")
    admin = reader.get("/admin/audit-logs", f"Bearer {installation.token.reveal()}", admin=True)
    assert admin.status == 503
    postgres.start() if how == "kill" else postgres.resume()
    eventually(lambda: not is_stale(reader, prod.server_key), "fresh again", within=10)
    assert "age" not in reader.get("/v1/flags", prod.server_key).headers
    revision = switch(installation, "off")
    wait_for(reader, prod.server_key, revision, within=20)


def test_both_down(
    prod: Prod, reader: Reader, breakable: Servers, installation: Installation
) -> None:
    assert breakable.postgres is not None
    assert breakable.valkey is not None
    breakable.valkey.kill()
    breakable.postgres.kill()
    eventually(lambda: is_stale(reader, prod.server_key), "it says that it is stale", within=20)
    assert reader.get("/v1/flags", prod.server_key).status == 200
    assert reader.get("/v1/configs", prod.client_key).status == 200
    assert reader.get("/readyz").status == 200
    unknown = generate(KeyKind.SERVER, "f" * 16)
    assert reader.get("/v1/flags", unknown).status == 503, "nobody can say whether it exists"
    assert reader.get("/v1/flags", "x").status == 401
    lines = len(reader.lines())
    checks = reader.metric("flagctl_checks_total")
    eventually(lambda: reader.metric("flagctl_checks_total") >= checks + 2, "two checks", within=30)
    assert len(reader.lines()) - lines < 5, "no flood"


def test_what_another_environment_left_in_redis_serves_without_postgres(
    installation: Installation, prod: Prod, reader: Reader, breakable: Servers, tmp_path: Path
) -> None:
    """The first reader filled Redis; the second never loaded prod, and then Postgres goes."""
    postgres = breakable.postgres
    assert postgres is not None
    settings = readers.settings_for(installation) | {"FLAGCTL_CHECK_INTERVAL": "0.5"}
    with readers.running(tmp_path, settings) as second:
        eventually(lambda: second.get("/readyz").json()["postgres"] == "up", "it knows the secret")
        postgres.kill()
        eventually(lambda: second.get("/readyz").json()["stale"], "it is stale")
        answer = second.get("/v1/flags", prod.server_key)
        assert (answer.status, answer.headers["x-cache"]) == (200, "redis")
        assert answer.headers["flagctl-stale"] == "true"


def test_started_without_anything_it_waits_for_postgres(
    installation: Installation, prod: Prod, breakable: Servers, tmp_path: Path
) -> None:
    postgres = breakable.postgres
    assert postgres is not None
    postgres.kill()
    try:
        with readers.running(tmp_path, readers.settings_for(installation), ready=False) as reader:
            answer = reader.get("/v1/flags", prod.server_key)
            assert (answer.status, answer.headers["retry-after"]) == (503, "2")
            assert reader.get("/readyz").status == 503
            assert reader.get("/healthz").status == 200
            postgres.start()
            eventually(lambda: reader.get("/v1/flags", prod.server_key).status == 200, "served")
            assert reader.get("/readyz").status == 200
            text = reader.log.read_text()
            assert "Traceback" not in text
    finally:
        with contextlib.suppress(RuntimeError):
            postgres.start()
