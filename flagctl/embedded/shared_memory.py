"""Gives back the System V shared memory of a Postgres that was killed and is not started again."""

import shutil
import subprocess
from pathlib import Path

from flagctl.embedded.engine import ENVIRONMENT
from flagctl.embedded.processes import run
from flagctl.embedded.unprivileged import Account

_SECONDS = 5.0


def forget_segment(segment: str, account: Account | None) -> None:
    """Remove it with that account's rights. A system without `ipcrm` keeps it."""
    ipcrm = shutil.which("ipcrm")
    if ipcrm is None or not segment.isdecimal():
        return
    run(
        [ipcrm, "-m", segment],
        env=ENVIRONMENT,
        cwd=Path("/"),
        output=subprocess.DEVNULL,
        timeout=_SECONDS,
        account=account,
    )
