"""The real Postgres and the real Redis that tests run on: embedded ones, or one's own."""

import os
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, LiteralString

import psycopg

from core.settings import Secret
from tests.support import redis_users
from tests.support.redis_users import RedisAddresses

if TYPE_CHECKING:
    from flagctl.embedded.postgres import EmbeddedPostgres
    from flagctl.embedded.valkey import EmbeddedValkey

DATABASE_VARIABLE = "FLAGCTL_TEST_DATABASE_URL"  # a superuser's address, Postgres 15 or later
# Tests log in thousands of times. Postgres 15 has no such setting.
FAST_PASSWORDS: LiteralString = (
    "SELECT set_config(name, '1', false) FROM pg_settings WHERE name = 'scram_iterations'"
)
REDIS_VARIABLE = "FLAGCTL_TEST_REDIS_URL"  # Redis 6.2 or later


@dataclass(frozen=True)
class Servers:
    """Addresses of both; `postgres` and `valkey` are None for one's own."""

    superuser_url: Secret
    redis: RedisAddresses
    postgres: "EmbeddedPostgres | None" = None
    valkey: "EmbeddedValkey | None" = None


@contextmanager
def running(folder: Path) -> Iterator[Servers]:
    """Both servers; embedded ones keep their data below `folder` and stop at the end."""
    own_database, own_redis = os.environ.get(DATABASE_VARIABLE), os.environ.get(REDIS_VARIABLE)
    with ExitStack() as stack:
        postgres = None if own_database else stack.enter_context(embedded_postgres(folder))
        valkey = None if own_redis else stack.enter_context(embedded_valkey(folder))
        if postgres:
            speed_up(superuser_url(postgres))
        yield Servers(
            Secret(own_database) if own_database else superuser_url(postgres),
            redis_users.of_embedded(valkey)
            if valkey
            else stack.enter_context(redis_users.of_own(own_redis or "")),
            postgres,
            valkey,
        )


def embedded_postgres(folder: Path, *, durable: bool = False) -> "EmbeddedPostgres":
    """Not started yet; its superuser's address comes from `superuser_url`."""
    from flagctl.embedded.postgres import EmbeddedPostgres  # an extra: not needed with one's own

    return EmbeddedPostgres(
        folder / "postgres", password=_PASSWORD, durable=durable, max_connections=200
    )


def embedded_valkey(folder: Path) -> "EmbeddedValkey":
    from flagctl.embedded.valkey import EmbeddedValkey  # an extra: not needed with one's own

    return EmbeddedValkey(
        folder / "valkey", password=_PASSWORD, more_users=[redis_users.ADMINISTRATOR]
    )


def speed_up(url: Secret) -> None:
    """Make the superuser's log-in cheap, and the log of what is written small."""
    with psycopg.connect(url.reveal(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET max_wal_size = '256MB'")
        connection.execute("SELECT pg_reload_conf()")
        connection.execute(FAST_PASSWORDS)
        connection.execute(f"ALTER ROLE postgres PASSWORD '{_PASSWORD}'".encode())


def superuser_url(postgres: "EmbeddedPostgres | None") -> Secret:
    return Secret(postgres.url("postgres", _PASSWORD, "postgres") if postgres else "")


_PASSWORD = secrets.token_hex(16)
