"""Makes a new Postgres data folder with a superuser `postgres`, complete or not at all."""

import os
import shutil
from pathlib import Path

from core.errors import UnavailableError
from flagctl.embedded.engine import ENVIRONMENT
from flagctl.embedded.home import Home
from flagctl.embedded.processes import run
from flagctl.embedded.unprivileged import HERE, give
from flagctl.embedded.waiting import until

_INITDB_SECONDS = 120.0
_REMOVE_SECONDS = 10.0


def create_cluster(home: Home, initdb: Path, *, password: str, durable: bool) -> None:
    """Fill a folder of another name, then rename it: one that has the name is complete."""
    new = home.folder.with_name(home.folder.name + ".new")
    _remove(new)
    new.mkdir(mode=0o700)
    give(new, home.account)
    password_file = home.runtime / "password"
    _write_secret(password_file, password)
    give(password_file, home.account)
    try:
        _initialise(
            home, _arguments(initdb, HERE if home.account else new, password_file, durable), new
        )
    finally:
        password_file.unlink()
    new.rename(home.folder)


def _arguments(initdb: Path, folder: Path, password_file: Path, durable: bool) -> list[str]:  # noqa: FBT001
    return [
        str(initdb),
        f"--pgdata={folder}",
        f"--pwfile={password_file}",
        "--username=postgres",
        "--auth-local=scram-sha-256",
        "--auth-host=scram-sha-256",
        "--encoding=UTF8",
        "--no-locale",  # the next two say how text is compared, alike on every system
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--no-instructions",
        *([] if durable else ["--no-sync"]),
    ]


def _initialise(home: Home, arguments: list[str], cwd: Path) -> None:
    with home.open_log() as log:
        status = run(
            arguments,
            env=ENVIRONMENT,
            cwd=cwd,
            output=log,
            timeout=_INITDB_SECONDS,
            account=home.account,
            umask=0o077,
        )
    if status != 0:
        raise UnavailableError(
            f"A new Postgres data folder cannot be made. The log ends with:\n{home.log_tail()}",
            hint=f"The whole log is in {home.log}.",
        )


def _write_secret(path: Path, secret: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    os.fchmod(descriptor, 0o600)  # whatever the umask is
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(secret + "\n")


def _remove(folder: Path) -> None:
    """Remove a half-finished one; what a killed initdb started may still write for a moment."""

    def gone() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        return not folder.exists()

    if not until(gone, timeout=_REMOVE_SECONDS):
        raise UnavailableError(f"{folder}, left by an earlier start, cannot be removed.")
