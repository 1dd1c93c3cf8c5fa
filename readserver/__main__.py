"""`python -m readserver`: the read server as a process of its own."""

import asyncio
import gc
import logging
import os
import signal
import sys
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from functools import partial

import uvloop

from core import logs, settings
from core.errors import FlagctlError, InvalidInputError
from core.settings import Settings
from readserver import open_files, serving
from readserver.app import running
from readserver.board import Board
from readserver.fast_lane import fast
from readserver.host import Host
from readserver.kinds import PLAIN, Kinds
from readserver.protocol import Timeouts, bounded
from readserver.serving import Listener
from readserver.worker_metrics import Shared
from readserver.workers import USAGE, Supervisor

# A load runs in a thread beside a busy event loop and needs the interpreter a dozen times. With
# Python's 5 ms for each turn a change would take five times as long to become visible.
_SWITCH_INTERVAL_SECONDS = 0.0005
# Objects made until Python looks for circles of them. A snapshot of 10,000 flags is some 100,000
# objects that stay: with Python's 700 it is walked through again and again while it is loaded.
_COLLECT_AFTER = 50_000


def main() -> int:
    """Run until told to stop. Returns the exit code."""
    try:
        found = settings.load(os.environ, settings.current_directory())
        found.require("reader_database_url")
        _kinds(found)  # refuses before anything is forked
        sockets = serving.bind(found)
    except FlagctlError as error:
        return _refuse(error)
    open_files.raise_limit()
    logs.configure(found.log_level)
    for noisy in ("uvicorn.error", "psycopg"):
        logging.getLogger(noisy).setLevel(logging.ERROR)
    for warning in found.warnings:
        logging.getLogger(__name__).warning(warning)
    try:
        if found.workers == 1:
            return _run(found, sockets)
        board = Board(found.workers)
        with closing(Host(found.workers)) as host:
            return Supervisor(
                found.workers,
                lambda index, lifeline: _run(found, sockets, Place(board, host, index, lifeline)),
                on_end=host.ended,
            ).run()
    finally:
        sockets.close()


@dataclass(frozen=True, slots=True)
class Place:
    """Among several workers; `lifeline` is a file that ends with their supervisor."""

    board: Board
    host: Host
    index: int
    lifeline: int


def collect_rarely() -> None:
    """How the garbage of a process that holds snapshots is looked for."""
    gc.set_threshold(_COLLECT_AFTER, 10, 10)
    gc.freeze()  # what is there now stays: modules, classes


def _run(found: Settings, sockets: serving.Sockets, place: Place | None = None) -> int:
    """A whole server, or one worker."""
    sys.setswitchinterval(_SWITCH_INTERVAL_SECONDS)
    collect_rarely()
    try:
        with (
            _kinds(found) as kinds,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(_serve(found, sockets, place, kinds))
    except FlagctlError as error:
        return _refuse(error)
    return 0


def _kinds(found: Settings) -> AbstractContextManager[Kinds]:
    """What this process is made of: with traces, whatever makes spans too, and sends them."""
    if found.traces == "off":
        return nullcontext(PLAIN)
    try:
        from readserver import traces  # deferred: it is an extra, and slow to import
    except ImportError:
        raise InvalidInputError(
            "FLAGCTL_TRACES is on, and OpenTelemetry is not installed",
            hint="pip install 'flagctl[otel]', or set FLAGCTL_TRACES=off",
        ) from None
    return traces.exporting()


async def _serve(
    found: Settings, sockets: serving.Sockets, place: Place | None, kinds: Kinds
) -> None:
    timeouts = Timeouts(header=found.header_timeout, body=found.body_timeout)
    most = int(min(found.max_connections, max(1, open_files.room_for_streams())))
    head = found.header_bytes
    plain = bounded(timeouts, most, head)
    if place is not None:
        _stop_without_supervisor(place.lifeline)
    share = partial(Shared, board=place.board, index=place.index) if place is not None else None
    peers = place.host.member(place.index) if place is not None else None
    async with running(found, share, peers, kinds) as apps:
        public = fast(apps.lane, timeouts, most, head) if found.fast_lane == "on" else plain
        if sockets.admin is None:
            listeners = [Listener(apps.both, sockets.public, public)]
        else:
            listeners = [
                Listener(apps.public, sockets.public, public),
                Listener(apps.admin, sockets.admin, plain),
            ]
        await serving.serve(listeners, on_stop=apps.streams.stop)


def _stop_without_supervisor(lifeline: int) -> None:
    loop = asyncio.get_running_loop()

    def stop() -> None:
        loop.remove_reader(lifeline)
        os.kill(os.getpid(), signal.SIGTERM)

    loop.add_reader(lifeline, stop)


def _refuse(error: FlagctlError) -> int:
    hint = f" ({error.hint})" if error.hint else ""
    print(f"readserver: {error.message}{hint}", file=sys.stderr)
    return USAGE


if __name__ == "__main__":
    sys.exit(main())
