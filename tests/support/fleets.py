"""Many read servers as processes of their own, without HTTP: forked from one that has imported all.

Each holds one environment, and says on stdout which revision it serves: lines of PID REVISION.
"""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import uvloop

from core import logs, settings
from core.snapshot.document import Snapshot
from readserver.app import running as running_applications
from tests.support import readers
from tests.support.waiting import eventually


class Fleet:
    """The processes and the revision that each serves."""

    def __init__(self, process: "subprocess.Popen[str]", size: int, log: Path) -> None:
        self.serves: dict[int, int] = {}
        self.log = log
        self._process = process
        self._size = size
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            pid, revision = line.split()
            self.serves[int(pid)] = int(revision)

    def wait_for(self, revision: int, *, within: float = 20) -> None:
        """Until each of them serves at least this."""

        def arrived() -> bool:
            assert self._process.poll() is None, self.log.read_text()
            known = list(self.serves.values())
            return len(known) == self._size and min(known) >= revision

        eventually(arrived, f"revision {revision} everywhere", within=within)

    def stop(self) -> None:
        """End all of them politely, and wait until they are gone."""
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(20)
        self._thread.join(20)


@contextmanager
def running(
    folder: Path, given: Mapping[str, str], environment_id: str, *, size: int
) -> Iterator[Fleet]:
    log = folder / "fleet.log"
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.fleets", environment_id, str(size)],
            cwd=Path(__file__).parents[2],
            env=readers.environ(given),
            stdout=subprocess.PIPE,
            stderr=file,
            text=True,
        )
    fleet = Fleet(process, size, log)
    try:
        yield fleet
    finally:
        if process.poll() is None:
            fleet.stop()
        process.stdout.close() if process.stdout else None


class _Reporter:
    def kept(self, snapshot: Snapshot, *, goes_back: bool) -> None:
        os.write(1, f"{os.getpid()} {snapshot.revision}\n".encode())  # at once, and undivided

    def dropped(self, environment_id: str, *, is_deleted: bool) -> None: ...


async def _read(environment_id: str) -> None:
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with running_applications(settings.load(os.environ, Path("/"))) as apps:
        apps.held.watchers.append(_Reporter())
        assert await apps.provider.get(environment_id) is not None
        await stopped.wait()


def _main() -> None:
    environment_id, size = sys.argv[1], int(sys.argv[2])
    logs.configure()
    children = []
    for _ in range(size):
        pid = os.fork()
        if pid == 0:
            sys.setswitchinterval(0.0005)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_read(environment_id))
            os._exit(0)  # what an interpreter tidies up at its end takes a second each
        children.append(pid)

    def end(*_: object) -> None:
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, end)
    for pid in children:
        os.waitpid(pid, 0)


if __name__ == "__main__":
    _main()
