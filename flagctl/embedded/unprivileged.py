"""Whom an engine runs as. Postgres refuses root, so root needs somebody else."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path

from core.errors import UnavailableError

# Root enters a folder that is out of the account's reach; its program then uses this name for it.
HERE = Path("/proc/self/cwd")

_NAMES = ("postgres", "nobody")
_HINT = (
    "Run it as a normal user, "
    "or set FLAGCTL_DATABASE_URL and FLAGCTL_REDIS_URL to use servers of your own."
)


@dataclass(frozen=True)
class Account:
    """An unprivileged user."""

    name: str
    uid: int
    gid: int


def account_for(folder: Path) -> Account | None:
    """Whom an engine with its data in `folder` runs as; None: as ourselves."""
    owner = folder.stat().st_uid if folder.exists() else None
    if os.geteuid() != 0:
        if owner not in {None, os.geteuid()}:
            raise UnavailableError(
                f"{folder} belongs to another user.",
                hint="Run it as that user, or remove the folder to start afresh.",
            )
        return None
    if not HERE.exists():
        raise UnavailableError(
            "The embedded engines do not run as root on this system.", hint=_HINT
        )
    accounts = _accounts()
    if not accounts:
        raise UnavailableError(
            f"The embedded engines do not run as root, and there is no user {' or '.join(_NAMES)}.",
            hint=_HINT,
        )
    if owner in {None, 0}:
        return accounts[0]
    for account in accounts:
        if account.uid == owner:
            return account
    raise UnavailableError(
        f"{folder} belongs to a user that root does not run engines as.", hint=_HINT
    )


def give(path: Path, account: Account | None) -> None:
    """Make the account the owner of a file or folder that we made."""
    if account is None:
        return
    try:
        os.chown(path, account.uid, account.gid, follow_symlinks=False)
    except OSError as error:  # a user namespace in which root is the only user
        raise UnavailableError(
            f"The embedded engines do not run as root, and root cannot become {account.name} here.",
            hint=_HINT,
        ) from error


def _accounts() -> list[Account]:
    found = []
    for name in _NAMES:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        if entry.pw_uid != 0:
            found.append(Account(name, entry.pw_uid, entry.pw_gid))
    return found
