"""A real Valkey, which speaks the Redis protocol, on a Unix socket; it keeps nothing on disk."""

import hashlib
import signal
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import redis

from flagctl.embedded.binaries import valkey_server
from flagctl.embedded.engine import Engine
from flagctl.embedded.reachable import program_for
from flagctl.embedded.unprivileged import give


class EmbeddedValkey(Engine):
    """Its only user is the default one. With `port` it listens on 127.0.0.1 too."""

    title: ClassVar[str] = "Valkey"
    program: ClassVar[str] = "valkey-server"
    stop_signals: ClassVar[tuple[signal.Signals, ...]] = (signal.SIGTERM,)

    def __init__(self, folder: Path, *, password: str, port: int | None = None) -> None:
        super().__init__(folder, password=password)
        self._port = port

    def url(self) -> str:
        """The address of its Unix socket. It is known after the first start."""
        return f"unix://:{quote(self._password, safe='')}@{self._socket()}"

    def tcp_url(self) -> str:
        """The address of its port."""
        if self._port is None:
            raise RuntimeError("it was given no port")
        return f"redis://:{quote(self._password, safe='')}@127.0.0.1:{self._port}"

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
        """Its configuration, which nobody sees here; of the password it has a digest only."""
        digest = hashlib.sha256(self._password.encode()).hexdigest()
        lines = [
            f"user default reset on #{digest} ~* &* +@all",
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
        with redis.Redis.from_url(self.url(), socket_timeout=10) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

    def _orphan(self) -> int | None:
        return self._home.last_pid()
