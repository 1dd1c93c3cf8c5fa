"""What every store promises; what every cache promises."""

import secrets
from dataclasses import replace
from typing import Any

import pytest

from core.snapshot.document import Snapshot, Version
from readserver.stores.contract import Cache, Store
from readserver.stores.memory import MemoryStore
from tests.contracts.conftest import Run
from tests.support.snapshots import EPOCH, snapshot


@pytest.fixture(params=["memory", "redis", "postgres"])
def filled(request: pytest.FixtureRequest, loaded: Snapshot, run: Run[Any]) -> Store:
    """A store that has the installation's prod."""
    if request.param == "postgres":
        store: Store = request.getfixturevalue("postgres_store")
        return store
    cache: Cache
    cache = MemoryStore() if request.param == "memory" else request.getfixturevalue("redis_store")
    assert run(cache.put(loaded))
    return cache


def test_what_is_there_comes_back_whole(filled: Store, loaded: Snapshot, run: Run[Any]) -> None:
    assert run(filled.get(loaded.environment_id)) == loaded
    assert run(filled.get(loaded.environment_id, loaded.version)) == loaded


def test_what_is_not_there_is_none(filled: Store, run: Run[Any]) -> None:
    assert run(filled.get("f" * 16)) is None


def test_an_empty_cache_has_nothing(cache: Cache, run: Run[Any]) -> None:
    assert run(cache.get(snapshot().environment_id)) is None


def test_put_and_get(cache: Cache, run: Run[Any]) -> None:
    assert run(cache.put(own(3)))
    assert run(cache.get(own(3).environment_id)) == own(3)


@pytest.mark.parametrize(
    ("kept", "offered", "wins"),
    [
        (3, 4, True),
        (3, 3, False),
        (3, 2, False),
        (9, 10, True),
        (10, 9, False),
        (2**53, 2**53 + 1, True),
        (2**53 + 1, 2**53, False),
    ],
)
def test_put_if_newer(cache: Cache, run: Run[Any], kept: int, offered: int, wins: bool) -> None:
    run(cache.put(own(kept)))
    assert run(cache.put(own(offered))) is wins
    assert run(cache.get(own(1).environment_id)) == own(offered if wins else kept)


def test_of_two_histories_with_one_revision_the_first_stays(cache: Cache, run: Run[Any]) -> None:
    run(cache.put(own(3)))
    assert not run(cache.put(replace(own(3), stamp="another")))


@pytest.mark.parametrize("revision", [1, 3, 9])
def test_another_epoch_replaces(cache: Cache, run: Run[Any], revision: int) -> None:
    run(cache.put(own(3)))
    other = replace(own(revision), epoch="7000.2.1")
    assert run(cache.put(other))
    assert run(cache.get(other.environment_id)) == other


def test_going_back_on_purpose(cache: Cache, run: Run[Any]) -> None:
    run(cache.put(own(3)))
    assert run(cache.put(own(2), replace=True))
    assert run(cache.get(own(2).environment_id)) == own(2)


@pytest.mark.parametrize(
    ("at_least", "found"),
    [
        (Version(EPOCH, 2, ""), True),
        (Version(EPOCH, 3, ""), True),
        (Version(EPOCH, 3, "stamp-3"), True),
        (Version(EPOCH, 3, "another"), False),
        (Version(EPOCH, 4, ""), False),
        (Version("7000.2.1", 1, ""), False),
    ],
)
def test_at_least(cache: Cache, run: Run[Any], at_least: Version, found: bool) -> None:
    run(cache.put(own(3)))
    assert (run(cache.get(own(3).environment_id, at_least)) is not None) is found


def test_environments_do_not_touch(cache: Cache, run: Run[Any]) -> None:
    other = replace(own(1), environment_id="e" * 16)
    run(cache.put(own(3)))
    run(cache.put(other))
    assert run(cache.get(own(3).environment_id)) == own(3)
    assert run(cache.get(other.environment_id)) == other


_OWN = {"environment_id": "0"}


@pytest.fixture(autouse=True)
def _an_environment_of_its_own(request: pytest.FixtureRequest) -> None:
    """Tests share a Redis: each has an id that no other has."""
    _OWN["environment_id"] = secrets.token_hex(8)


def own(revision: int) -> Snapshot:
    return snapshot(revision, **_OWN)
