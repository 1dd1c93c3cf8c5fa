"""`python -m readserver`: the read server as a process of its own."""

import asyncio
import logging
import os
import sys

import uvloop

from core import logs, settings
from core.errors import FlagctlError
from core.settings import Settings
from readserver import open_files, serving
from readserver.app import running
from readserver.protocol import Timeouts

_USAGE = 2  # as the CLI's exit code for invalid input
# A load runs in a thread beside a busy event loop and needs the interpreter a dozen times. With
# Python's 5 ms for each turn a change would take five times as long to become visible.
_SWITCH_INTERVAL_SECONDS = 0.0005


def main() -> int:
    """Run until told to stop. Returns the exit code."""
    try:
        found = settings.load(os.environ, settings.current_directory())
        found.require("reader_database_url")
        sockets = serving.bind(found)
    except FlagctlError as error:
        return _refuse(error)
    open_files.raise_limit()
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
    logs.configure(found.log_level)
    for noisy in ("uvicorn.error", "psycopg"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    for warning in found.warnings:
        logging.getLogger(__name__).warning(warning)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(found, sockets))
    except FlagctlError as error:
        return _refuse(error)
    finally:
        sockets.close()
    return 0


async def _serve(found: Settings, sockets: serving.Sockets) -> None:
    timeouts = Timeouts(header=found.header_timeout, body=found.body_timeout)
    async with running(found) as apps:
        listeners = [(apps.both, sockets.public)]
        if sockets.admin is not None:
            listeners = [(apps.public, sockets.public), (apps.admin, sockets.admin)]
        await serving.serve(listeners, timeouts, on_stop=apps.streams.stop)


def _refuse(error: FlagctlError) -> int:
    hint = f" ({error.hint})" if error.hint else ""
    print(f"readserver: {error.message}{hint}", file=sys.stderr)
    return _USAGE


if __name__ == "__main__":
    sys.exit(main())
