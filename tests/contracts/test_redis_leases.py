"""Whose turn it is to load, by Redis: one at a time, and nobody for long."""

import asyncio
import secrets
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from core.cache import keys
from core.cache.invalidation import Change, announce
from readserver.stores.contract import Claim
from readserver.stores.redis import LEASE_MILLISECONDS, RedisStore
from tests.contracts.conftest import Run
from tests.support.installations import Installation
from tests.support.snapshots import EPOCH, snapshot


@pytest.fixture
def environment_id() -> str:
    return secrets.token_hex(8)


@pytest.fixture
def raw(installation: Installation) -> Iterator[Any]:
    """Redis as an attacker has it."""
    with redis.Redis.from_url(installation.redis.administrator.reveal()) as client:
        yield client


def test_one_loads_and_the_others_take_its_copy(
    installation: Installation, redis_store: RedisStore, run: Run[Any], environment_id: str
) -> None:
    wanted = snapshot(4, environment_id=environment_id)

    def claim(token: str) -> Claim | None:
        found: Claim | None = run(redis_store.claim(environment_id, wanted.version, token))
        return found

    run(redis_store.put(snapshot(3, environment_id=environment_id)))
    assert announce(installation.redis.writer, [Change(environment_id, EPOCH, 4, "s")]) is None
    assert [claim("one"), claim("two"), claim("three")] == [Claim.LOAD, Claim.WAIT, Claim.WAIT]
    run(redis_store.release(environment_id, "two"))
    assert claim("two") is Claim.WAIT, "nobody ends another's"
    assert run(redis_store.put(wanted))
    assert claim("two") is Claim.COPY
    run(redis_store.release(environment_id, "one"))
    run(redis_store.release(environment_id, "one"))
    newer = snapshot(5, environment_id=environment_id).version
    assert run(redis_store.claim(environment_id, newer, "two")) is Claim.LOAD


@pytest.mark.parametrize(
    "forged",
    [
        {"revision": b"3"},
        {"revision": b"9" * 19},
        {"revision": b"x"},
        {"epoch": b"1.1.1"},
    ],
    ids=repr,
)
def test_what_is_no_copy_of_it_is_not_taken_for_one(
    redis_store: RedisStore,
    run: Run[Any],
    raw: Any,
    environment_id: str,
    forged: dict[str, bytes],
) -> None:
    wanted = snapshot(4, environment_id=environment_id)
    run(redis_store.put(wanted))
    raw.hset(keys.snapshot_key(environment_id), mapping=forged)
    assert run(redis_store.claim(environment_id, wanted.version, "one")) is Claim.LOAD


@pytest.mark.parametrize("kind", ["string", "list", "far"])
def test_a_lease_that_does_not_end_is_nobodys(
    redis_store: RedisStore, run: Run[Any], raw: Any, environment_id: str, kind: str
) -> None:
    lease = keys.lease_key(environment_id)
    raw.rpush(lease, "x") if kind == "list" else raw.set(lease, "x")
    if kind == "far":
        raw.pexpire(lease, 1_000 * LEASE_MILLISECONDS)
    version = snapshot(4).version
    assert run(redis_store.claim(environment_id, version, "one")) is Claim.LOAD
    assert 0 < raw.pttl(lease) <= LEASE_MILLISECONDS


def test_a_key_of_another_type_in_its_place_is_no_copy(
    redis_store: RedisStore, run: Run[Any], raw: Any, environment_id: str
) -> None:
    raw.set(keys.snapshot_key(environment_id), "x")
    version = snapshot(4).version
    assert run(redis_store.claim(environment_id, version, "one")) is Claim.LOAD
    raw.delete(keys.lease_key(environment_id))
    raw.rpush(keys.lease_key(environment_id), "x")
    run(redis_store.release(environment_id, "one"))
    assert redis_store.is_up


def test_more_questions_than_connections(redis_store: RedisStore, run: Run[Any]) -> None:
    """They wait for each other: Redis is not taken for dead."""

    async def all_at_once() -> None:
        answers = await asyncio.gather(*(redis_store.get(f"{n:016x}") for n in range(200)))
        assert set(answers) == {None}

    run(all_at_once())
    assert redis_store.is_up
    assert redis_store._counts.redis_failures == 0
