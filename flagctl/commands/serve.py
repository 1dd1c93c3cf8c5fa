"""The read server, as a process of its own."""

import os
import sys
from typing import Annotated

import typer

from flagctl.state import current


def serve(
    listen: Annotated[
        str | None, typer.Option("--listen", metavar="HOST:PORT", help="Where to answer.")
    ] = None,
    admin_listen: Annotated[
        str | None,
        typer.Option("--admin-listen", metavar="HOST:PORT", help="Where metrics and audit are."),
    ] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", min=1, help="Processes that answer there.")
    ] = None,
) -> None:
    """Run the read server.

    Reads its settings from FLAGCTL_READER_DATABASE_URL, FLAGCTL_REDIS_URL, FLAGCTL_LISTEN….

    \b
    flagctl serve --listen 127.0.0.1:8000
    flagctl serve --workers 4
    """
    environment = dict(os.environ)
    if context := current().given.get("context"):
        environment["FLAGCTL_CONTEXT"] = context
    if listen is not None:
        environment["FLAGCTL_LISTEN"] = listen
    if admin_listen is not None:
        environment["FLAGCTL_ADMIN_LISTEN"] = admin_listen
    if workers is not None:
        environment["FLAGCTL_WORKERS"] = str(workers)
    os.execve(sys.executable, [sys.executable, "-m", "readserver"], environment)  # noqa: S606
