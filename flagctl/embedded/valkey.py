"""A real Valkey, which speaks the Redis protocol, on a Unix socket; it keeps nothing on disk."""

import hmac
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import redis

from core.cache import acl
from flagctl.embedded.binaries import valkey_server
from flagctl.embedded.engine import Engine
from flagctl.embedded.reachable import program_for
from flagctl.embedded.unprivileged import give


class EmbeddedValkey(Engine):
    """Its users are the writer and the reader of `core.cache.acl`, and nobody else.

    Each has a password of its own, made from the one that is given. With `port` it listens on
    127.0.0.1 too.
    """

    title: ClassVar[str] = "Valkey"
    program: ClassVar[str] = "valkey-server"
    stop_signals: ClassVar[tuple[signal.Signals, ...]] = (signal.SIGTERM,)

    def __init__(
        self,
        folder: Path,
        *,
        password: str,
        port: int | None = None,
        more_users: Sequence[acl.User] = (),
    ) -> None:
        super().__init__(folder, password=password)
        self._port = port
        self._users = (acl.writer(), acl.reader(), *more_users)

    def url(self, user: str) -> str:
        """The address of its Unix socket for a user. It is known after the first start."""
        return f"unix://{self._login(user)}@{self._socket()}"

    def tcp_url(self, user: str) -> str:
        """The address of its port for a user."""
        if self._port is None:
            raise RuntimeError("it was given no port")
        return f"redis://{self._login(user)}@127.0.0.1:{self._port}"

    def _login(self, user: str) -> str:
        return f"{user}:{self._password_of(user)}"

    def _password_of(self, user: str) -> str:
        """Nobody can tell another's from his own, and no folder has to keep one for each."""
        return hmac.digest(self._password.encode(), user.encode(), "sha256").hex()

    def _socket(self) -> Path:
        return self._home.runtime / "valkey.sock"

    def _prepare(self) -> None:
        folder = self._home.folder
        if not folder.exists():
            folder.mkdir(mode=0o700)
            give(folder, self._home.account)
        self._program = program_for(self._home.account, valkey_server(), self._home.runtime)

    def _command(self) -> list[str]:
        return [str(self._program), "-"]

    def _input(self) -> bytes:
        """Its configuration, which nobody sees here; of passwords it has digests only."""
        lines = [
            "user default reset off",
            *(user.with_password(self._password_of(user.name)).line() for user in self._users),
            f"unixsocket {self._socket()}",
            "unixsocketperm 700",
            "bind 127.0.0.1",
            f"port {self._port or 0}",
            'save ""',
            "appendonly no",
            "daemonize no",
        ]
        return "\n".join([*lines, ""]).encode()

    def _answers(self) -> bool:
        if not self._socket().exists():
            return False
        with redis.Redis.from_url(
            self.url(acl.READER), socket_timeout=10, driver_info=None
        ) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

    def _orphan(self) -> int | None:
        return self._home.last_pid()
