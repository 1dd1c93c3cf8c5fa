"""Who may do what in Redis: a user for those who write, and one for the read servers.

Single commands and nothing newer than Redis 6.2, so that the same rules mean the same everywhere: a
category of commands grows with the server's release, and 6.2 knows no selectors (`%R~`).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.cache import keys
from core.notifications import CHANNEL

WRITER: Final = "flagctl_writer"
READER: Final = "flagctl_reader"

# A command inside a script is checked as if the script's caller had sent it.
_SCRIPT: Final = ("eval", "type", "del", "hmget", "hset", "expire")
_USAGE: Final = ("hlen",)  # what is counted: readers add to it, commands read it
# Of receipts and leases, one has what looks at them, the other what writes them.
_WRITES: Final = (*_SCRIPT, "publish", "zrevrange", *_USAGE, "hgetall")
_RECEIPTS: Final = ("time", "hdel", "zadd", "zrem", "zremrangebyscore")
# PING tells a dead subscription from a quiet one; the name shows who it is in CLIENT LIST.
_READS: Final = (
    *(*_SCRIPT, *_RECEIPTS, *_USAGE, "hincrby", "hexists", "set", "get", "pttl"),
    *("subscribe", "ping", "client|setname"),
)
# AUTH and HELLO are everybody's. Databases have no rules of their own, so SELECT opens them all.
_SELECT: Final = "select"

# How an error inside a script says that its caller lacks a right: Redis 7 and Valkey, and 6.2.
_REFUSALS: Final = ("ACL failure in script", "executing the script can't run this command")


def says_so(error: str) -> bool:
    """Whether a script failed for a right that its caller lacks. Elsewhere the error has a kind."""
    return any(text in error for text in _REFUSALS)


@dataclass(frozen=True, slots=True)
class User:
    """A user of Redis, by rules that are applied in their order."""

    name: str
    rules: tuple[str, ...]

    def command(self) -> str:
        """What makes it, or gives exactly these rights to the one that is there.

        Passwords that it has stay, unless the rules replace them.
        """
        return f"ACL SETUSER {self.name} {' '.join(self.rules)}"

    def line(self) -> str:
        """The same as a line of an aclfile, or of Redis's configuration."""
        return f"user {self.name} {' '.join(self.rules)}"

    def with_password(self, password: str) -> "User":
        """The same with this password and no other; the rules hold a digest of it only."""
        digest = hashlib.sha256(password.encode()).hexdigest()
        return User(self.name, (*self.rules, "resetpass", f"#{digest}"))


def writer(name: str = WRITER, *, database: int = 0) -> User:
    """Commands that write: they end older copies and publish. `database` is the address's."""
    return _user(name, _WRITES, database)


def reader(name: str = READER, *, database: int = 0) -> User:
    """Read servers: they read and fill the copies, and listen."""
    return _user(name, _READS, database)


def _user(name: str, commands: Sequence[str], database: int) -> User:
    allowed = (*commands, _SELECT) if database else commands
    places = ("resetkeys", f"~{keys.PATTERN}", "resetchannels", f"&{CHANNEL}")
    return User(name, ("on", *places, "-@all", *(f"+{command}" for command in allowed)))
