"""PgBouncer in front of a test's Postgres."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import conninfo

from core.settings import Secret
from tests.support.installations import Installation
from tests.support.waiting import eventually

_PORT = "6432"  # a part of the socket's name, no TCP
_LOGINS = ("admin", "reader", "owner", "trust")
# One connection for each login: whoever comes second gets the first one's.
_SETTINGS = """
[databases]
* = host={host} port={port}
[pgbouncer]
pool_mode = transaction
default_pool_size = 1
listen_addr =
listen_port = {own_port}
unix_socket_dir = {folder}
auth_type = scram-sha-256
auth_file = {folder}/users
logfile = {folder}/log
"""


@dataclass(frozen=True)
class Pooled:
    """One installation by its two ways."""

    direct: Installation
    through: Installation


def program() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")


@contextmanager
def running(installation: Installation) -> Iterator[Pooled]:
    """Started, and stopped at the end; the superuser's address stays direct."""
    with tempfile.TemporaryDirectory(prefix="flagctl-") as name:  # short, for a socket in it
        folder = Path(name)
        server = conninfo.conninfo_to_dict(installation.superuser_url.reveal())
        (folder / "users").write_text("".join(_user(installation, login) for login in _LOGINS))
        (folder / "settings").write_text(
            _SETTINGS.format(
                host=server["host"], port=server.get("port", 5432), own_port=_PORT, folder=folder
            )
        )
        process = _start(folder, str(server["host"]))
        try:
            pooled = Pooled(installation, _through(installation, name))
            eventually(lambda: _answers(process, pooled.through.admin_url, folder), "it answers")
            yield pooled
        finally:
            process.terminate()
            process.wait(20)


def _start(folder: Path, host: str) -> "subprocess.Popen[bytes]":
    """As whoever may open Postgres's socket: PgBouncer refuses root."""
    owner = None
    if os.geteuid() == 0:
        owner = (Path(host) if Path(host).is_dir() else Path("/var/lib/postgresql")).stat()
        for path in (folder, *folder.iterdir()):
            os.chown(path, owner.st_uid, owner.st_gid)
    with (folder / "output").open("wb") as output:
        return subprocess.Popen(
            [program() or "pgbouncer", "--quiet", str(folder / "settings")],
            stdout=output,
            stderr=output,
            user=owner.st_uid if owner else None,
            group=owner.st_gid if owner else None,
            extra_groups=[] if owner else None,
        )


def _answers(process: "subprocess.Popen[bytes]", url: Secret, folder: Path) -> bool:
    assert process.poll() is None, (folder / "output").read_text()
    try:
        psycopg.connect(url.reveal()).close()
    except psycopg.OperationalError:
        return False
    return True


def _user(installation: Installation, login: str) -> str:
    parts = urlsplit(getattr(installation, f"{login}_url").reveal())
    return f'"{unquote(parts.username or "")}" "{unquote(parts.password or "")}"\n'


def _through(installation: Installation, folder: str) -> Installation:
    def pooled(url: Secret) -> Secret:
        return Secret(f"{url.reveal().partition('?')[0]}?host={folder}&port={_PORT}")

    return replace(
        installation,
        admin_url=pooled(installation.admin_url),
        reader_url=pooled(installation.reader_url),
        owner_url=pooled(installation.owner_url),
        trust_url=pooled(installation.trust_url),
    )
