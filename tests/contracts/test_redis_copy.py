"""The copy in Redis: what lies there is verified, and a tombstone holds until something newer."""

import secrets
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from core.cache import keys
from core.cache.invalidation import Change, announce
from core.settings import Secret
from core.snapshot.document import Snapshot
from readserver.stores.redis import RedisStore, connect
from readserver.telemetry import Counts
from tests.contracts.conftest import SECRET, Run
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


@pytest.fixture
def entry(environment_id: str) -> str:
    return keys.snapshot_key(environment_id)


def invalidate(installation: Installation, environment_id: str, revision: int) -> None:
    change = Change(environment_id, EPOCH, revision, f"stamp-{revision}")
    assert announce(installation.redis.writer, [change]) is None


def made(environment_id: str, revision: int) -> Snapshot:
    return snapshot(revision, environment_id=environment_id)


def test_a_tombstone_ends_an_older_copy_and_takes_its_own_revision(
    installation: Installation, redis_store: RedisStore, run: Run[Any], environment_id: str
) -> None:
    run(redis_store.put(made(environment_id, 3)))
    invalidate(installation, environment_id, 4)
    other = RedisStore(connect(installation.redis.reader), Counts())
    other.trust(SECRET)
    assert not run(other.put(made(environment_id, 3))), "a slow reader puts nothing old back"
    assert run(redis_store.get(environment_id)) is None
    assert run(other.put(made(environment_id, 4)))
    assert run(redis_store.get(environment_id)) == made(environment_id, 4)
    run(other.close())


def test_a_tombstone_does_not_end_what_is_as_new(
    installation: Installation, redis_store: RedisStore, run: Run[Any], environment_id: str
) -> None:
    run(redis_store.put(made(environment_id, 4)))
    invalidate(installation, environment_id, 4)
    invalidate(installation, environment_id, 3)
    assert run(redis_store.get(environment_id)) == made(environment_id, 4)


def test_an_entry_expires(
    redis_store: RedisStore, run: Run[Any], raw: Any, environment_id: str, entry: str
) -> None:
    run(redis_store.put(made(environment_id, 4)))
    assert 0 < raw.ttl(entry) <= keys.EXPIRES_SECONDS


@pytest.mark.parametrize(
    "forged",
    [
        {"mac": b"\0" * 32},
        {"data": b"{}"},
        {"revision": b"999999999999999999"},
        {"revision": b"not a number"},
        {"revision": b"\xff"},
        {"epoch": b"\xff"},
        {"stamp": b"another"},
    ],
)
def test_what_is_forged_is_refused_and_then_replaced(
    redis_store: RedisStore,
    run: Run[Any],
    raw: Any,
    environment_id: str,
    entry: str,
    forged: dict[str, bytes],
) -> None:
    run(redis_store.put(made(environment_id, 4)))
    raw.hset(entry, mapping=forged)
    assert run(redis_store.get(environment_id)) is None
    assert run(redis_store.put(made(environment_id, 4)))
    assert run(redis_store.get(environment_id)) == made(environment_id, 4)


def test_a_forged_tombstone_of_the_far_future_is_replaced(
    redis_store: RedisStore, run: Run[Any], raw: Any, environment_id: str, entry: str
) -> None:
    raw.hset(entry, mapping={"epoch": EPOCH, "revision": "9" * 18, "stamp": "x"})
    assert run(redis_store.get(environment_id)) is None
    assert run(redis_store.put(made(environment_id, 4)))


@pytest.mark.parametrize("kind", ["string", "list"])
def test_a_key_of_another_type_is_replaced(
    redis_store: RedisStore, run: Run[Any], raw: Any, environment_id: str, entry: str, kind: str
) -> None:
    raw.set(entry, "x") if kind == "string" else raw.rpush(entry, "x")
    assert run(redis_store.get(environment_id)) is None
    assert redis_store.is_up, "Redis answered: only this entry is wrong"
    assert run(redis_store.put(made(environment_id, 4)))
    assert run(redis_store.get(environment_id)) == made(environment_id, 4)
    assert run(redis_store.get(environment_id)) == made(environment_id, 4)


def test_without_the_secret_nothing_is_believed(
    installation: Installation, redis_store: RedisStore, run: Run[Any], environment_id: str
) -> None:
    run(redis_store.put(made(environment_id, 4)))
    other = RedisStore(connect(installation.redis.reader), Counts())
    assert run(other.get(environment_id)) is None
    other.trust(b"another secret" * 3)
    assert run(other.get(environment_id)) is None
    run(other.close())


def test_a_change_is_published(installation: Installation, raw: Any, environment_id: str) -> None:
    with raw.pubsub(ignore_subscribe_messages=True) as subscription:
        subscription.subscribe("flagctl_revisions")
        assert subscription.get_message(timeout=5) is None
        invalidate(installation, environment_id, 5)
        message = None
        while message is None:
            message = subscription.get_message(timeout=5)
    assert message["data"] == f"{environment_id} 5".encode()


@pytest.fixture
def deaf() -> Iterator[Secret]:
    """A Redis that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield Secret(f"redis://:needle@127.0.0.1:{listener.getsockname()[1]}/0")


def test_a_deaf_redis_delays_a_writer_by_the_deadline(deaf: Secret) -> None:
    """It ends, though Redis never answers: after the deadline, which it names."""
    reason = announce(deaf, [Change("0" * 16, EPOCH, 1, "s")] * 3, deadline_seconds=0.3)
    assert reason is not None
    assert "needle" not in reason


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis://:needle@127.0.0.1:1/0", "cannot be reached"),
        ("unix:///nonexistent/needle.sock", "cannot be reached"),
        ("redis://:needle@no-such-host.invalid:6379/0", "Redis"),
        ("redis://:needle@127.0.0.1:port/0", "cannot be read"),
        ("redis://:needle@127.0.0.1:6379/0?db=x", "cannot be read"),
    ],
)
def test_an_unreachable_redis_is_a_reason(url: str, said: str) -> None:
    reason = announce(Secret(url), [Change("0" * 16, EPOCH, 1, "s")])
    assert reason is not None
    assert said in reason
    assert "needle" not in reason


def test_a_wrong_password_is_a_reason(installation: Installation) -> None:
    scheme, _, rest = installation.redis.writer.reveal().partition("://")
    wrong = Secret(f"{scheme}://somebody:needle@{rest.rpartition('@')[2]}")
    reason = announce(wrong, [Change("0" * 16, EPOCH, 1, "s")])
    assert reason is not None
    assert "password" in reason
    assert "needle" not in reason


def test_no_change_needs_no_redis() -> None:
    assert announce(Secret("redis://127.0.0.1:1"), []) is None


def test_a_deaf_redis_delays_a_reader_once(deaf: Secret, run: Run[Any]) -> None:
    counts = Counts()
    store = RedisStore(connect(deaf), counts)
    store.trust(SECRET)
    counts.redis_failures = 0
    for _ in range(50):
        assert run(store.get("0" * 16)) is None
    assert counts.redis_failures == 1
    assert not store.is_up
    run(store.close())
