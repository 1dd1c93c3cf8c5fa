"""The stores, each over a real medium, and a loop to run them on."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

import pytest

from core.snapshot.document import Snapshot
from readserver.stores.contract import Cache
from readserver.stores.memory import MemoryStore
from readserver.stores.postgres import PostgresStore
from readserver.stores.redis import RedisStore, connect
from readserver.telemetry import Counts
from tests.support.installations import Installation

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]

SECRET = b"s" * 32


@pytest.fixture
def run() -> Iterator[Run[Any]]:
    """Runs a coroutine to its end, always on the same loop."""
    with asyncio.Runner() as runner:
        yield runner.run


@pytest.fixture
def redis_store(installation: Installation, run: Run[Any]) -> Iterator[RedisStore]:
    store = RedisStore(connect(installation.redis.reader), Counts())
    store.trust(SECRET)
    yield store
    run(store.close())


@pytest.fixture(params=["memory", "redis"])
def cache(request: pytest.FixtureRequest) -> Cache:
    """A store that keeps copies, empty."""
    if request.param == "memory":
        return MemoryStore()
    store: RedisStore = request.getfixturevalue("redis_store")
    return store


@pytest.fixture
def postgres_store(installation: Installation, run: Run[Any]) -> Iterator[PostgresStore]:
    store = PostgresStore(installation.reader_url, Counts())
    yield store
    run(store.close())


@pytest.fixture
def loaded(
    installation: Installation, postgres_store: PostgresStore, run: Run[Snapshot]
) -> Snapshot:
    """The installation's prod, as Postgres has it."""
    return run(postgres_store.get(installation.environment_id("prod")))  # type: ignore[arg-type]
