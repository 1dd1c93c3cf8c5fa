"""Read servers as processes: started, asked and stopped by a test."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.auth.api_keys import KeyKind
from core.services import api_keys, configs, flags, overrides
from core.value_types import ValueType
from tests.support.forks import Fork, Process
from tests.support.installations import Installation
from tests.support.waiting import eventually


@dataclass(frozen=True)
class Answer:
    """What came back; header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Reader:
    """A running read server."""

    process: Process
    port: int
    admin_port: int
    log: Path

    def get(
        self, path: str, key: str | None = None, *, admin: bool = False, **headers: str
    ) -> Answer:
        """GET; `if_none_match="…"` is the header If-None-Match."""
        return self.ask("GET", path, key, admin=admin, headers=headers)

    def ask(
        self,
        method: str,
        path: str,
        key: str | None = None,
        *,
        admin: bool = False,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        if key is not None:
            sent["Authorization"] = key
        port = self.admin_port if admin else self.port
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(
                response.status,
                {name.lower(): value for name, value in response.getheaders()},
                response.read(),
            )
        finally:
            connection.close()

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        text = self.get("/metrics", admin=True).body.decode()
        values = [
            float(line.rsplit(" ", 1)[1])
            for line in text.splitlines()
            if line.split("{")[0].split(" ")[0] == name
        ]
        assert values, f"there is no metric {name}"
        return sum(values)

    def lines(self) -> list[dict[str, Any]]:
        """The log so far; each whole line is JSON."""
        return [json.loads(line) for line in self.log.read_text().splitlines()]

    def stop(self) -> int:
        """End it politely; the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


def environ(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a process with these settings and no others."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("FLAGCTL_", "PG"))}
    return {
        **clean,
        "FLAGCTL_LISTEN": "127.0.0.1:0",
        "XDG_CONFIG_HOME": "/nonexistent",
        **settings,
    }


@contextmanager
def running(
    folder: Path,
    settings: Mapping[str, str],
    *,
    command: tuple[str, ...] | None = None,
    ready: bool = True,
) -> Iterator[Reader]:
    """A read server in `folder`, killed at the end. With a `command` that goes before it (taskset…,
    or nothing) it is the program as it is typed, else a fork that has its imports."""
    log = folder / f"readserver-{os.urandom(3).hex()}.log"
    log.touch()
    process = (
        Fork(folder, environ(settings), log)
        if command is None
        else _program(command, folder, environ(settings), log)
    )
    try:
        eventually(
            lambda: process.poll() is not None or b'"listening"' in log.read_bytes(),
            "the read server listens",
            within=20,
        )
        assert process.poll() is None, log.read_text()
        line = next(
            entry for entry in map(json.loads, log.read_text().splitlines()) if "listen" in entry
        )
        ports = [int(line[name].rsplit(":", 1)[1]) for name in ("listen", "admin_listen")]
        reader = Reader(process, ports[0], ports[1], log)
        if ready:
            eventually(lambda: reader.get("/readyz").status == 200, "the read server is ready")
        yield reader
    finally:
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait(20)


def _program(
    command: tuple[str, ...], folder: Path, environ: Mapping[str, str], log: Path
) -> "subprocess.Popen[bytes]":
    typed = [*command, sys.executable, "-m", "readserver"]
    with log.open("wb") as file:
        return subprocess.Popen(typed, cwd=folder, env=environ, stderr=file)


def settings_for(installation: Installation, *, redis: bool = True) -> dict[str, str]:
    """The settings of a read server of this installation."""
    found = {"FLAGCTL_READER_DATABASE_URL": installation.reader_url.reveal()}
    if redis:
        found["FLAGCTL_REDIS_URL"] = installation.redis.reader.reveal()
    return found


@dataclass(frozen=True)
class Prod:
    """What `fill` made: keys of the environment prod."""

    server_key: str
    client_key: str


def fill(installation: Installation) -> Prod:
    """`dark_mode` on and `hidden` off, both for servers; `banner` for browsers too; `max_items`."""
    with installation.change() as change:
        for key, enabled, visible in (
            ("dark_mode", True, False),
            ("hidden", False, False),
            ("banner", True, True),
        ):
            definition = flags.Definition(key, default_enabled=enabled, client_visible=visible)
            flags.create_flag(change, definition)
        configs.define_config(change, configs.Definition("max_items", ValueType.INTEGER))
        configs.set_value(change, "max_items", "prod", 5)
        server = api_keys.create_key(change, "server", "prod")
        client = api_keys.create_key(change, "client", "prod", kind=KeyKind.CLIENT)
    return Prod(server.key, client.key)


def switch(installation: Installation, state: str, *, key: str = "dark_mode") -> int:
    """Set a flag in prod; the new revision. Nobody is told but by NOTIFY."""
    with installation.change() as change:
        overrides.set_override(change, key, "prod", state)
    return installation.revisions()["prod"]


def revision_at(reader: Reader, key: str) -> int:
    """The revision that a reader serves; -1 while it serves nothing yet."""
    return int(reader.get("/v1/flags", key).headers.get("flagctl-revision", "-1"))


def wait_for(reader: Reader, key: str, revision: int, *, within: float = 1.0) -> None:
    """Until the reader serves this revision."""
    eventually(lambda: revision_at(reader, key) == revision, f"revision {revision}", within=within)
