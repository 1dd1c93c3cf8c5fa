"""`flagctl dev` as people start it: the installed program, in a folder of its own."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from flagctl.embedded.process_table import descendants, is_alive
from tests.support.waiting import eventually

BIN = Path(sys.executable).parent
FLAGCTL = BIN / "flagctl"


@dataclass
class Development:
    """A `flagctl dev` that runs, or did."""

    process: "subprocess.Popen[bytes]"
    folder: Path
    port: int
    environ: Mapping[str, str]
    out: Path
    err: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def key(self) -> str:
        """The demo API key that it printed."""
        found = re.search(r"export KEY=(\S+)", self.out.read_text())
        assert found
        return found[1]

    def flagctl(self, *arguments: str) -> str:
        """What a command prints that is typed in another terminal."""
        ran = subprocess.run(
            [FLAGCTL, *arguments],
            cwd=self.folder,
            env=dict(self.environ),
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def get(self, path: str, key: str) -> tuple[int, Any]:
        return get(self.port, path, key)

    def stop(self, number: signal.Signals = signal.SIGINT) -> list[int]:
        """End it, wait for it and for all its processes, and return their ids."""
        pids = descendants(self.process.pid)
        self.process.send_signal(number)
        self.process.wait(60)
        eventually(lambda: not any(map(is_alive, pids)), "its processes end", within=20)
        return pids


def get(port: int, path: str, key: str) -> tuple[int, Any]:
    """(status, document) of a request with an API key."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path, headers={"Authorization": key})
        response = connection.getresponse()
        return response.status, json.loads(response.read())
    finally:
        connection.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def clean_environ(home: Path) -> dict[str, str]:
    """As in a fresh terminal, at home in `home`."""
    home.mkdir(exist_ok=True)
    names = (
        "PATH",
        "LANG",
        "TMPDIR",
        "PYTHONPATH",
    )  # the last for a checkout that is not installed
    kept = {name: os.environ[name] for name in names if name in os.environ}
    homes = {name: str(home) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    return kept | homes


def launch(folder: Path, port: int, settings: Mapping[str, str]) -> Development:
    """Start it and return at once; whoever calls this ends it. Only it has the settings."""
    environ = clean_environ(folder.with_name(f"{folder.name}-home"))
    mark = os.urandom(3).hex()
    logs = [folder.with_name(f"{folder.name}-{mark}.{name}") for name in ("out", "err")]
    with logs[0].open("wb") as out, logs[1].open("wb") as err:
        process = subprocess.Popen(
            [FLAGCTL, "dev", "--port", str(port)],
            cwd=folder,
            env={**environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            start_new_session=True,
        )
    return Development(process, folder, port, environ, *logs)


@contextmanager
def launched(
    folder: Path, port: int | None = None, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Development]:
    """Start it and go on at once; whatever is left of it at the end is killed, also when the test
    failed: it must not be the next one's trouble."""
    folder.mkdir(exist_ok=True)
    started = launch(folder, port or free_port(), settings)
    try:
        yield started
    finally:
        if started.process.poll() is None:
            pids = descendants(started.process.pid)
            started.process.kill()
            started.process.wait()
            eventually(lambda: not any(map(is_alive, pids)), "its processes end", within=20)


@contextmanager
def running(
    folder: Path, port: int | None = None, settings: Mapping[str, str] = MappingProxyType({})
) -> Iterator[Development]:
    """The same, ready; stopped in order at the end."""
    with launched(folder, port, settings) as started:
        eventually(
            lambda: (
                started.process.poll() is not None
                or f"ready {started.url}\n" in started.out.read_text()
            ),
            "flagctl dev is ready",
            within=60,
        )
        assert started.process.poll() is None, started.err.read_text()
        yield started
        if started.process.poll() is None:
            started.stop(signal.SIGTERM)
