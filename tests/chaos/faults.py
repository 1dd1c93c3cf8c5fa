"""What can go wrong: each is begun, and mended some seconds later."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from random import Random
from typing import Any

import redis

from core import notifications
from core.cache import keys
from tests.chaos.world import CHECK_INTERVAL, Seat, World

Fault = Callable[[World, Random], Any]
_AFTERMATH = CHECK_INTERVAL * 1.5 + 1.0  # seconds until a reader that was held is up to date


@contextmanager
def administrator(world: World) -> Iterator[Any]:
    address = world.installation.redis.administrator.reveal()
    with redis.Redis.from_url(address, socket_timeout=2) as client, suppress(redis.RedisError):
        yield client


@contextmanager
def redis_killed(world: World, _random: Random) -> Iterator[None]:
    world.valkey.kill()
    yield
    world.valkey.start()


@contextmanager
def redis_hung(world: World, _random: Random) -> Iterator[None]:
    world.valkey.suspend()
    yield
    world.valkey.resume()


@contextmanager
def redis_slow(world: World, random: Random) -> Iterator[None]:
    world.to_redis.delay = random.uniform(0.05, 0.5)
    yield
    world.to_redis.delay = 0.0


@contextmanager
def redis_full(world: World, _random: Random) -> Iterator[None]:
    with administrator(world) as client:
        client.config_set("maxmemory", "1mb")
    yield
    with administrator(world) as client:
        client.config_set("maxmemory", "0")


@contextmanager
def redis_emptied(world: World, _random: Random) -> Iterator[None]:
    with administrator(world) as client:
        client.flushall()
    yield


@contextmanager
def redis_restored(world: World, _random: Random) -> Iterator[None]:
    """An old dump comes back, twice."""
    key, dump = keys.snapshot_key(world.environment_id), None
    with administrator(world) as client:
        dump = client.dump(key)
    yield
    if dump is not None:
        with administrator(world) as client:
            client.restore(key, 0, dump, replace=True)


@contextmanager
def false_messages(world: World, random: Random) -> Iterator[None]:
    with administrator(world) as client:
        for _ in range(50):
            message = f"{world.environment_id} {random.randrange(1, 10**15)}"
            client.publish(notifications.CHANNEL, message)
    yield


@contextmanager
def redis_silent(world: World, _random: Random) -> Iterator[None]:
    world.to_redis.is_silent = True
    yield
    world.to_redis.is_silent = False
    world.to_redis.hang_up()


@contextmanager
def redis_hangs_up(world: World, _random: Random) -> Iterator[None]:
    world.to_redis.hang_up()
    yield


@contextmanager
def postgres_killed(world: World, _random: Random) -> Iterator[None]:
    world.postgres.kill()
    yield
    world.postgres.start()


@contextmanager
def postgres_hung(world: World, _random: Random) -> Iterator[None]:
    world.postgres.suspend()
    yield
    world.postgres.resume()


@contextmanager
def postgres_silent(world: World, _random: Random) -> Iterator[None]:
    """The readers' way to Postgres only: writes go on."""
    world.to_postgres.is_silent = True
    yield
    world.to_postgres.is_silent = False
    world.to_postgres.hang_up()


@contextmanager
def postgres_hangs_up(world: World, _random: Random) -> Iterator[None]:
    world.to_postgres.hang_up()
    yield


@contextmanager
def both_pushes_silent(world: World, random: Random) -> Iterator[None]:
    """What is connected hears no more, and is not told; new connections work."""
    for proxy in (world.to_redis, world.to_postgres):
        proxy.forget()
    yield


def _a_seat(world: World, random: Random) -> Seat:
    return random.choice(world.seats)


@contextmanager
def reader_killed(world: World, random: Random) -> Iterator[None]:
    seat = _a_seat(world, random)
    world.unseat(seat)
    yield
    world.seat(seat)


@contextmanager
def process_suspended(world: World, random: Random) -> Iterator[None]:
    """A whole reader, or one of its workers."""
    seat = _a_seat(world, random)
    pid = random.choice(seat.processes())
    seat.held_until = float("inf")
    os.kill(pid, signal.SIGSTOP)
    yield
    seat.held_until = time.monotonic() + _AFTERMATH
    os.kill(pid, signal.SIGCONT)


@contextmanager
def worker_killed(world: World, random: Random) -> Iterator[None]:
    """Its supervisor starts another, and the rest answers meanwhile."""
    seat = random.choice([seat for seat in world.seats if seat.workers > 1])
    os.kill(random.choice(seat.processes()), signal.SIGKILL)
    seat.hurt_at = time.monotonic()
    yield


FAULTS: dict[str, Fault] = {
    "Redis is killed": redis_killed,
    "Redis hangs": redis_hung,
    "Redis is slow": redis_slow,
    "Redis is full": redis_full,
    "Redis is emptied": redis_emptied,
    "an old dump comes back": redis_restored,
    "false messages": false_messages,
    "the way to Redis is silent": redis_silent,
    "Redis hangs up": redis_hangs_up,
    "Postgres is killed": postgres_killed,
    "Postgres hangs": postgres_hung,
    "the way to Postgres is silent": postgres_silent,
    "Postgres hangs up": postgres_hangs_up,
    "connections are forgotten": both_pushes_silent,
    "a reader is killed": reader_killed,
    "a reader is suspended": process_suspended,
    "a worker of a reader is killed": worker_killed,
}
