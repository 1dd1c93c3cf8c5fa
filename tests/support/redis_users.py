"""The users of Redis that tests work with: the product's two, and one that may do everything."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import redis
from redis.connection import parse_url

from core.cache import acl
from core.settings import Secret

if TYPE_CHECKING:
    from flagctl.embedded.valkey import EmbeddedValkey

ADMINISTRATOR = acl.User("administrator", ("on", "~*", "&*", "+@all"))


@dataclass(frozen=True)
class RedisAddresses:
    """One Redis, for each of its users. `administrator` is for what only a test does."""

    administrator: Secret
    writer: Secret
    reader: Secret

    @property
    def has_users(self) -> bool:
        """False for a Redis whose given user may make no others."""
        return self.administrator != self.writer


def of_embedded(valkey: "EmbeddedValkey") -> RedisAddresses:
    """The addresses of an embedded Valkey that was started with `ADMINISTRATOR`."""
    names = (ADMINISTRATOR.name, acl.WRITER, acl.READER)
    return RedisAddresses(*(Secret(valkey.url(name)) for name in names))


@contextmanager
def of_own(address: str) -> Iterator[RedisAddresses]:
    """Addresses of a Redis of one's own: both users are made there, and removed at the end.

    Two runs on one server have users of their own. A user who may make none is everything itself.
    """
    database = int(parse_url(address).get("db", 0))  # type: ignore[no-untyped-call]
    mark, password = f"test_{secrets.token_hex(4)}", secrets.token_hex(16)
    users = [
        acl.writer(f"{mark}_writer", database=database),
        acl.reader(f"{mark}_reader", database=database),
    ]
    with redis.Redis.from_url(address) as client:
        try:
            for user in users:
                send(client, user.with_password(password).command())
        except redis.ResponseError:
            yield RedisAddresses(*[Secret(address)] * 3)
            return
        try:
            yield RedisAddresses(
                Secret(address), *(Secret(as_user(address, user.name, password)) for user in users)
            )
        finally:
            for user in users:
                send(client, f"ACL DELUSER {user.name}")


def send(client: Any, command: str) -> Any:
    """What Redis answers to a command as it is typed; no word of it is quoted."""
    return client.execute_command(*command.split(" "))


def as_user(address: str, user: str, password: str) -> str:
    """The address for another user."""
    scheme, _, rest = address.partition("://")
    return f"{scheme}://{user}:{password}@{rest.rpartition('@')[2]}"
