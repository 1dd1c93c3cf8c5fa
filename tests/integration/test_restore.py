"""pg_dump, and a restore into a new cluster: rights, policies and history hold; readers notice."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from core.alchemy import connect
from core.services.grants import apply, cluster_statements
from core.services.privileges import examine
from core.services.schema import differences
from core.settings import Secret
from flagctl.embedded.binaries import postgres_folder
from tests.support import servers as server_support
from tests.support.installations import Installation
from tests.support.other_servers import host_of, moved
from tests.support.readers import fill, running, settings_for, switch, wait_for
from tests.support.servers import Servers

_HISTORY = "SELECT * FROM flagctl.audit_events ORDER BY organization_id, seq"


def tool(program: Path, *arguments: str, stdin: bytes = b"", may_say: str = "") -> bytes:
    """One of Postgres's own programs. Of its errors only those that hold `may_say` are taken."""
    command = [str(program), *arguments]
    ran = subprocess.run(command, input=stdin, capture_output=True, timeout=60, check=False)
    commands = re.findall(r"Command was: (.*)", ran.stderr.decode())
    is_known = may_say and commands and all(may_say in command for command in commands)
    assert ran.returncode == 0 or is_known, ran.stderr.decode()
    return ran.stdout


@dataclass(frozen=True)
class Backup:
    """What docs/operations.md says to keep."""

    roles: bytes
    database: bytes

    def restore(self, superuser: Secret) -> None:
        folder = postgres_folder() / "bin"
        once = (folder / "psql", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", superuser.reveal())
        tool(*once, stdin=self.roles)
        restore = (folder / "pg_restore", "--create", "--dbname", superuser.reveal())
        tool(*restore, stdin=self.database, may_say="FUNCTION pg_catalog.")


def backup(installation: Installation, folder: Path) -> Backup:
    """With the programs of the server's own version, in this folder."""
    address = installation.superuser_url.reveal()
    roles = tool(folder / "pg_dumpall", "--roles-only", "--dbname", address)
    # The superuser is there already, and keeps the password that it has there.
    superuser = re.compile(rb"^(CREATE|ALTER) ROLE postgres\b.*\n", re.MULTILINE)
    return Backup(
        superuser.sub(b"", roles),
        tool(folder / "pg_dump", "--format=custom", "--create", "--dbname", address),
    )


@pytest.fixture(scope="module")
def new_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secret]:
    """Its superuser's address; nothing is in it."""
    with server_support.embedded_postgres(tmp_path_factory.mktemp("new")) as postgres:
        server_support.speed_up(server_support.superuser_url(postgres))
        yield server_support.superuser_url(postgres)


@pytest.fixture
def programs(servers: Servers) -> Path:
    """Where the pg_dump of the server's version is; a newer one writes what no server takes."""
    if servers.postgres:
        return postgres_folder() / "bin"
    found = shutil.which("pg_dump")
    if not found:
        pytest.skip("there is no pg_dump beside one's own Postgres")
    return Path(found).parent


@contextmanager
def name_of(host: str) -> Iterator[Path]:
    """A name that leads to a server, and can be made to lead to another one."""
    with tempfile.TemporaryDirectory(prefix="flagctl-") as folder:  # short, for a socket in it
        name = Path(folder) / "db"
        name.symlink_to(host)
        yield name


def lead_to(name: Path, host: str) -> None:
    following = name.with_name("following")
    following.symlink_to(host)
    following.replace(name)


def test_a_restore_into_a_new_cluster(
    installation: Installation, programs: Path, new_cluster: Secret, tmp_path: Path
) -> None:
    here, there = host_of(installation.superuser_url), host_of(new_cluster)
    if not os.path.isabs(here):  # noqa: PTH117 - a host's name, most often
        pytest.skip("a name that leads to two servers is made with sockets")
    prod = fill(installation)
    kept = switch(installation, "on")
    history = installation.ask(_HISTORY)
    saved = backup(installation, programs)
    with name_of(here) as name:
        settings = settings_for(moved(installation, str(name)))
        with running(tmp_path, settings | {"FLAGCTL_CHECK_INTERVAL": "0.1"}) as reader:
            wait_for(reader, prod.server_key, switch(installation, "off"), within=10)
            saved.restore(new_cluster)
            restored = moved(installation, there, superuser=new_cluster)
            renew_grants(restored, major_version(installation))
            lead_to(name, there)
            installation.run(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'flagctl readserver' AND datname = current_database()"
            )
            # A lower number than the one that it served, of another epoch.
            wait_for(reader, prod.server_key, kept, within=20)
            assert reader.get("/v1/flags", prod.server_key).json()["dark_mode"] is True
            assert restored.ask(_HISTORY) == history
            assert_it_holds(restored)
            # Old tokens and keys are good there, and the log goes on.
            wait_for(reader, prod.server_key, switch(restored, "off"), within=20)
            assert restored.last_event() == len(history) + 1


def major_version(installation: Installation) -> int:
    with installation.connect() as connection:
        return connection.info.server_version // 10_000


def renew_grants(restored: Installation, dumped: int) -> None:
    """`flagctl db grants`: another version of Postgres has other functions to take away."""
    with restored.connect("superuser") as connection:
        if connection.info.server_version // 10_000 != dumped:
            apply(connection, cluster_statements(restored.prefix, restored.name, {}))


def assert_it_holds(restored: Installation) -> None:
    """Groups, logins, privileges and policies are as flagctl makes them."""
    with restored.connect("superuser") as connection:
        assert examine(connection, restored.prefix) == []
    with connect(restored.superuser_url, application_name="test") as connection:
        assert differences(connection) == []
    assert restored.ask("SELECT key FROM flagctl.flags", login="admin") == []
    for statement in ("DELETE FROM flagctl.audit_events", "UPDATE flagctl.flags SET key = key"):
        with pytest.raises(psycopg.Error, match=r"permission denied|no change was begun"):
            restored.run(statement, login="admin")
