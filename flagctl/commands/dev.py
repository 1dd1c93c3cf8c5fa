"""A whole installation here, in the foreground."""

from typing import Annotated

import typer


def dev(
    port: Annotated[
        int, typer.Option("--port", envvar="PORT", min=1, max=65535, help="Where to answer.")
    ] = 8000,
    host: Annotated[str, typer.Option("--host", help="On which address.")] = "127.0.0.1",
) -> None:
    """Run everything here, with an embedded Postgres and Redis.

    Keeps its data in .flagctl/ of this directory. Ctrl-C stops it. The read server takes from the
    environment how it is to work (FLAGCTL_CORS_ORIGINS, FLAGCTL_LOG_LEVEL, FLAGCTL_CLIENT_RATE…);
    addresses and tokens are those of this installation.

    \b
    flagctl dev --port 8000
    """
    from core.settings import current_directory
    from flagctl.dev.supervisor import run

    run(current_directory(), host, port)
