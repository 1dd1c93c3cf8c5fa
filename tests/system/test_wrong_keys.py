"""Wrong keys at full load: refused from memory, and nobody else notices."""

import http.client
import itertools
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from core.auth.api_keys import KeyKind, generate
from tests.support import readers
from tests.support.installations import Installation
from tests.support.readers import Reader, revision_at, switch, wait_for
from tests.support.waiting import eventually

EACH = 1_500  # requests of a kind, after which there were several revision checks


def malformed(good: str) -> Iterator[str]:
    """The last character is of the checksum."""
    for letter in itertools.cycle("abcdefgh"):
        yield good[:-1] + (letter if good[-1] != letter else "0")


def of_unknown_environments() -> Iterator[str]:
    while True:
        yield generate(KeyKind.SERVER, secrets.token_hex(8))


def unknown_secrets(environment_id: str) -> Iterator[str]:
    while True:
        yield generate(KeyKind.SERVER, environment_id)


def hammer(reader: Reader, keys: Iterator[str], statuses: Counter[int]) -> None:
    """Over one connection, one after the other."""
    connection = http.client.HTTPConnection("127.0.0.1", reader.port, timeout=20)
    try:
        for key in itertools.islice(keys, EACH):
            connection.request("GET", "/v1/flags", headers={"Authorization": key})
            response = connection.getresponse()
            response.read()
            statuses[response.status] += 1
    finally:
        connection.close()


def test_what_is_asked_is_counted(installation: Installation, tmp_path: Path) -> None:
    prod = readers.fill(installation)
    settings = readers.settings_for(installation) | {"FLAGCTL_METRICS_EVALUATIONS": "3"}
    with readers.running(tmp_path, settings) as reader:
        for _ in range(2):
            assert reader.get("/v1/flags", prod.server_key).status == 200
        for path in ("/dark_mode", ""):
            answer = reader.ask(
                *("POST", f"/ofrep/v1/evaluate/flags{path}", prod.server_key),
                body=b"{}",
                headers={"Content-Type": "application/json"},
            )
            assert answer.status == 200
        text = reader.get("/metrics", admin=True).body.decode()
        revision, id_ = installation.revisions()["prod"], installation.environment_id("prod")
        evaluated = f'flagctl_evaluations_total{{environment_id="{id_}",'
        for line in (
            'flagctl_responses_total{path="/v1/flags",status="200"} 2.0',
            'flagctl_hits_total{source="database"} 1.0',
            'flagctl_hits_total{source="memory"} 3.0',
            "flagctl_hit_ratio 0.75",
            "flagctl_load_seconds_count 1.0",
            f'flagctl_snapshot_revision{{environment="prod",environment_id="{id_}"}} {revision}.0',
            f'{evaluated}flag="dark_mode",variant="on"}} 2.0',
            f'{evaluated}flag="hidden",variant="off"}} 1.0',
        ):
            assert f"\n{line}\n" in text, line
        assert reader.metric("flagctl_request_seconds_count") >= 4
        assert 0 <= reader.metric("flagctl_snapshot_age_seconds") < 60


@pytest.fixture
def raw(installation: Installation) -> Iterator[Any]:
    with redis.Redis.from_url(installation.redis.administrator.reveal()) as client:
        yield client


def questions(raw: Any) -> int:
    """How often anybody asked Redis for a copy, by its own count."""
    asked: int = raw.info("commandstats").get("cmdstat_hmget", {"calls": 0})["calls"]
    return asked


def test_wrong_keys_of_all_kinds_cost_the_stores_nothing(
    installation: Installation, raw: Any, tmp_path: Path
) -> None:
    prod = readers.fill(installation)
    environment_id = installation.environment_id("prod")
    kinds: dict[str, Callable[[], Iterator[str]]] = {
        "malformed": lambda: malformed(prod.server_key),
        "environment": of_unknown_environments,
        "secret": lambda: unknown_secrets(environment_id),
    }
    with readers.running(tmp_path, readers.settings_for(installation)) as reader:
        assert reader.get("/v1/flags", prod.server_key).status == 200
        names = ("flagctl_postgres_loads_total", "flagctl_checks_total", "flagctl_redis_hits_total")
        checks = reader.metric("flagctl_checks_total")
        eventually(lambda: reader.metric("flagctl_checks_total") > checks, "it is at rest")
        before = {name: reader.metric(name) for name in names}
        asked_redis = questions(raw)
        statuses: dict[str, Counter[int]] = {kind: Counter() for kind in kinds}
        threads = [
            threading.Thread(target=hammer, args=(reader, make(), statuses[kind]))
            for kind, make in kinds.items()
        ]
        for thread in threads:
            thread.start()
        asked = 0
        while any(thread.is_alive() for thread in threads):
            answer = reader.get("/v1/flags", prod.server_key)
            assert (answer.status, answer.headers["x-cache"]) == (200, "memory")
            asked += 1
        seconds = reader.metric("flagctl_checks_total") - before["flagctl_checks_total"]
        assert statuses == {kind: Counter({401: EACH}) for kind in kinds}
        assert asked > 10
        # One question a second about unknown ids, which a check comes with; and one every two.
        loads = reader.metric("flagctl_postgres_loads_total") - before[names[0]]
        assert loads <= seconds + 1
        assert reader.metric("flagctl_redis_hits_total") == before["flagctl_redis_hits_total"]
        assert questions(raw) - asked_redis <= loads + 1
        assert loads < EACH / 20
        text = reader.get("/metrics", admin=True).body.decode()
        for kind in kinds:
            assert f'flagctl_wrong_keys_total{{kind="{kind}"}} {EACH}.0\n' in text
        # A change and a new key come through all the same.
        wait_for(reader, prod.server_key, switch(installation, "off"), within=20)
        assert revision_at(reader, prod.server_key) == installation.revisions()["prod"]
