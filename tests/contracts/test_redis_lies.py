"""A Redis that lies: entries that no release writes, and answers that are none."""

import secrets
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import redis

from core.cache import keys
from core.cache.invalidation import Change, announce
from core.settings import Secret
from readserver.stores.redis import RedisStore, connect
from readserver.telemetry import Counts
from tests.contracts.conftest import SECRET, Run
from tests.support.installations import Installation
from tests.support.snapshots import EPOCH, snapshot

STRANGE = {
    "far": b"9" * 18,
    "2^63": str(2**63).encode(),
    "2^64": str(2**64).encode(),
    "megabytes": b"9" * 3_000_000,
    "negative": b"-1",
    "signed": b"+4",
    "spaced": b" 4",
    "grouped": b"4_0",
    "zeros": b"00000000000000004",
    "float": b"1e300",
    "infinite": b"inf",
    "empty": b"",
    "zero byte": b"4\0",
    "no text": b"\xff\xfe",
}


@pytest.fixture
def environment_id() -> str:
    return secrets.token_hex(8)


@pytest.fixture
def entry(environment_id: str) -> str:
    return keys.snapshot_key(environment_id)


@pytest.fixture
def raw(installation: Installation) -> Iterator[Any]:
    """Redis as an attacker has it."""
    with redis.Redis.from_url(installation.redis.administrator.reveal()) as client:
        yield client


@pytest.mark.parametrize("is_sealed", [True, False], ids=["sealed", "tombstone"])
@pytest.mark.parametrize("strange", STRANGE)
def test_a_strange_revision_is_refused_and_replaced(
    redis_store: RedisStore,
    run: Run[Any],
    raw: Any,
    environment_id: str,
    entry: str,
    strange: str,
    is_sealed: bool,
) -> None:
    true = snapshot(4, environment_id=environment_id)
    assert run(redis_store.put(true))
    raw.hset(entry, "revision", STRANGE[strange])
    if not is_sealed:
        raw.hdel(entry, "mac", "data")
    assert run(redis_store.get(environment_id)) is None
    assert redis_store.is_up
    assert run(redis_store.put(true))
    assert run(redis_store.get(environment_id)) == true


@pytest.mark.parametrize("strange", sorted(STRANGE.keys() - {"far"}))
def test_a_strange_revision_keeps_no_tombstone_out(
    installation: Installation, raw: Any, environment_id: str, entry: str, strange: str
) -> None:
    raw.hset(entry, mapping={"epoch": EPOCH, "revision": STRANGE[strange], "stamp": "x"})
    change = Change(environment_id, EPOCH, 4, "stamp-4")
    assert announce(installation.redis.writer, [change]) is None
    assert raw.hgetall(entry) == {
        b"epoch": EPOCH.encode(),
        b"revision": b"4",
        b"stamp": b"stamp-4",
    }


@pytest.mark.parametrize("field", ["epoch", "stamp", "mac"])
def test_a_field_of_megabytes_is_replaced(
    redis_store: RedisStore, run: Run[Any], raw: Any, environment_id: str, entry: str, field: str
) -> None:
    true = snapshot(4, environment_id=environment_id)
    assert run(redis_store.put(true))
    raw.hset(entry, field, b"x" * 3_000_000)
    assert run(redis_store.get(environment_id)) is None
    assert run(redis_store.put(true))
    assert run(redis_store.get(environment_id)) == true


def test_a_copy_of_another_environment_is_refused(
    redis_store: RedisStore, run: Run[Any], raw: Any, environment_id: str, entry: str
) -> None:
    other = snapshot(9, environment_id=secrets.token_hex(8))
    run(redis_store.put(other))
    raw.hset(entry, mapping=raw.hgetall(keys.snapshot_key(other.environment_id)))
    assert run(redis_store.get(environment_id)) is None
    assert run(redis_store.get(other.environment_id)) == other


@pytest.fixture
def liar(request: pytest.FixtureRequest) -> Iterator[Secret]:
    """A server that greets as Redis does, and answers everything else with these bytes."""
    answer: bytes = request.param

    def talk(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            while said := connection.recv(1_000_000):
                connection.sendall(b"+OK\r\n" if b"CLIENT" in said else answer)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield Secret(f"redis://127.0.0.1:{listener.getsockname()[1]}/0?protocol=2")
        listener.shutdown(socket.SHUT_RDWR)
    thread.join(10)


@pytest.mark.parametrize(
    "liar",
    [
        b"+OK\r\n",
        b":5\r\n",
        b"$-1\r\n",
        b"$5\r\nhello\r\n",
        b"*-1\r\n",
        b"*0\r\n",
        b"*1\r\n$1\r\nx\r\n",
        b"*5\r\n:1\r\n:2\r\n:3\r\n:4\r\n:5\r\n",
        b"*5\r\n*0\r\n*0\r\n*0\r\n*0\r\n*0\r\n",
        b"*6\r\n" + b"$1\r\n1\r\n" * 6,
        b"*5\r\n" + b"$1\r\n1\r\n" * 5,
        b"-ERR no\r\n",
        b"-NOPERM no\r\n",
        b"-\r\n",
        b"nonsense\r\n",
        b"$99999999999999\r\nx",
    ],
    indirect=True,
    ids=lambda answer: repr(answer)[2:22],
)
def test_an_answer_that_is_none(liar: Secret, run: Run[Any], environment_id: str) -> None:
    store = RedisStore(connect(liar), Counts())
    store.trust(SECRET)
    for _ in range(2):
        assert run(store.get(environment_id)) is None
        run(store.put(snapshot(4, environment_id=environment_id)))
    run(store.close())
