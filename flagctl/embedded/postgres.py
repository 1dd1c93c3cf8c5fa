"""A real Postgres, on a Unix socket only, that asks everybody for a password."""

import signal
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import psycopg

from core.errors import UnavailableError
from flagctl.embedded.binaries import postgres_folder
from flagctl.embedded.cluster import create_cluster
from flagctl.embedded.engine import Engine
from flagctl.embedded.process_table import pid_exists
from flagctl.embedded.reachable import postgres_for
from flagctl.embedded.shared_memory import forget_segment
from flagctl.embedded.unprivileged import HERE

SUPERUSER = "postgres"

_PORT = 5432  # a part of the socket's name, no TCP
_NOT_DURABLE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")
_PID_LINE, _SEGMENT_LINE, _STATUS_LINE = 0, 6, 7


class EmbeddedPostgres(Engine):
    """Its superuser is `postgres`, whose password is set when the data folder is made."""

    title: ClassVar[str] = "Postgres"
    program: ClassVar[str] = "postgres"
    stop_signals: ClassVar[tuple[signal.Signals, ...]] = (signal.SIGINT, signal.SIGQUIT)

    def __init__(
        self, data: Path, *, password: str, durable: bool = True, max_connections: int = 100
    ) -> None:
        """Without `durable` it is faster, and a crash of the machine may ruin the data."""
        super().__init__(data, password=password)
        self._durable = durable
        self._max_connections = max_connections
        self._segment = ""

    def url(self, user: str, password: str, database: str) -> str:
        """The address in libpq's form. It is known after the first start."""
        login = f"{quote(user, safe='')}:{quote(password, safe='')}"
        host = quote(str(self._home.runtime), safe="")
        return f"postgresql://{login}@/{quote(database, safe='')}?host={host}&port={_PORT}"

    def kill(self) -> None:
        _, self._segment = self._pid_file(_SEGMENT_LINE).split()  # its key and its id
        super().kill()

    def stop(self) -> None:
        super().stop()
        if self._segment:
            forget_segment(self._segment, self._home.account)
            self._segment = ""

    def _prepare(self) -> None:
        data = self._home.folder
        self._installed = postgres_for(self._home.account, postgres_folder(), self._home.runtime)
        if (data / "PG_VERSION").exists():
            self._remove_foreign_lock()
        elif data.exists() and any(data.iterdir()):
            raise UnavailableError(
                f"{data} is not a Postgres data folder.", hint="Move it away, or name another."
            )
        else:
            initdb = self._installed / "bin" / "initdb"
            create_cluster(self._home, initdb, password=self._password, durable=self._durable)
        self._segment = ""  # Postgres itself sees to it when it starts

    def _command(self) -> list[str]:
        settings = [
            "listen_addresses=",
            f"unix_socket_directories={self._home.runtime}",
            "unix_socket_permissions=0700",
            f"port={_PORT}",
            f"max_connections={self._max_connections}",
            *(() if self._durable else _NOT_DURABLE),
        ]
        folder = HERE if self._home.account else self._home.folder
        return [
            str(self._installed / "bin" / "postgres"),
            "-D",
            str(folder),
            *(part for setting in settings for part in ("-c", setting)),
        ]

    def _answers(self) -> bool:
        """Ask once the server says that it is ready: before, each attempt would be logged."""
        if self._pid_file(_PID_LINE) != str(self.pid) or self._pid_file(_STATUS_LINE) != "ready":
            return False
        try:
            url = self.url(SUPERUSER, self._password, "postgres")
            psycopg.connect(url, connect_timeout=10).close()
        except psycopg.OperationalError as error:
            if "password authentication failed" not in str(error):
                return False
            raise UnavailableError(
                f"The data in {self._home.folder} was made with another superuser password.",
                hint="Restore the file with that password, or remove the folder to start afresh.",
            ) from error
        return True

    def _orphan(self) -> int | None:
        pid = self._pid_file(_PID_LINE)
        return int(pid) if pid.isdecimal() and int(pid) > 1 else None

    def _remove_foreign_lock(self) -> None:
        """Remove a pid file whose number another process has now: Postgres would not dare.

        That cannot let two servers in: we hold the lock, and Postgres asks its shared memory too.
        """
        pid = self._orphan()
        if pid and pid_exists(pid) and not self._is_ours(pid):
            (self._home.folder / "postmaster.pid").unlink()

    def _pid_file(self, line: int) -> str:
        """A line of the pid file, as `pg_ctl` reads it; empty if there is none."""
        try:
            lines = (self._home.folder / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return ""
        return lines[line].strip() if line < len(lines) else ""
