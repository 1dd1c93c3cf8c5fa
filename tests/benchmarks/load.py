"""wrk on the client's core: what it asks, and what it measured."""

import os
import re
import signal
import statistics
import subprocess
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SERVER_CORE: Final = "0"
ON_SERVER_CORE: Final = ("taskset", "-c", SERVER_CORE)
_CLIENT_CORE: Final = "1"
_PAUSE_SECONDS: Final = 0.3
_UNITS: Final = {"us": 1e-3, "ms": 1.0, "s": 1e3}
# Each request is another user's. They are made beforehand: wrk has to be faster than the server.
_USERS: Final = """
local requests, number = {}, 0
function init()
  wrk.headers["Content-Type"] = "application/json"
  for user = 1, 20000 do
    requests[user] = wrk.format("POST", nil, nil, '{"context":{"targetingKey":"user-' .. user ..
      '","plan":"free","region":"region-9"}}')
  end
end
function request()
  number = number % 20000 + 1
  return requests[number]
end
"""


@dataclass(frozen=True)
class Load:
    """One run. Latencies in milliseconds; `cpu` is what the server spent on a request, in
    microseconds: others on the machine do not count there."""

    requests_per_second: float
    p50: float
    p99: float
    cpu: float


@dataclass(frozen=True)
class Target:
    """What is asked of one server; `users` makes it a POST, each for another user."""

    url: str
    pid: int  # the server's
    headers: Mapping[str, str]
    users: bool = False
    connections: int = 32


def write_script(folder: Path) -> Path:
    script = folder / "users.lua"
    script.write_text(_USERS)
    return script


def run(target: Target, script: Path, seconds: int) -> Load:
    fields = [f"-H{name}: {value}" for name, value in target.headers.items()]
    lua = ["-s", str(script)] if target.users else []
    how = ["-t1", f"-c{target.connections}", f"-d{seconds}s", "--latency", *lua, *fields]
    before = _cpu_seconds(target.pid)
    output = subprocess.run(
        ["taskset", "-c", _CLIENT_CORE, "wrk", *how, target.url],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "Non-2xx" not in output, output
    assert "Socket errors" not in output, output
    spent = _cpu_seconds(target.pid) - before
    speed = re.search(r"Requests/sec:\s+([\d.]+)", output)
    done = re.search(r"(\d+) requests in", output)
    assert speed, output
    assert done, output
    p50, p99 = _latency(output, "50%"), _latency(output, "99%")
    return Load(float(speed[1]), p50, p99, spent / int(done[1]) * 1e6)


def _processes(pid: int) -> list[int]:
    """It and its children: nginx's worker is one."""
    return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]


def _cpu_seconds(pid: int) -> float:
    fields = [
        Path(f"/proc/{p}/stat").read_text().rpartition(")")[2].split() for p in _processes(pid)
    ]
    return sum(int(f[11]) + int(f[12]) for f in fields) / os.sysconf("SC_CLK_TCK")


def by_turns(
    targets: Mapping[str, Target], script: Path, *, rounds: int, seconds: int
) -> dict[str, list[Load]]:
    """All targets once a round, after one second each to warm them."""
    for target in targets.values():
        run(target, script, 1)
    taken: dict[str, list[Load]] = {name: [] for name in targets}
    for _ in range(rounds):
        for name, target in targets.items():
            with _alone(target, targets.values()):
                taken[name].append(run(target, script, seconds))
    return taken


@contextmanager
def _alone(target: Target, targets: Collection[Target]) -> Iterator[None]:
    """The others stand still: by the little that idle servers do on its core, its p99 is twice as
    long, nginx's too."""
    others = [p for pid in {t.pid for t in targets} - {target.pid} for p in _processes(pid)]
    for process in others:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in others:
            os.kill(process, signal.SIGCONT)
    time.sleep(_PAUSE_SECONDS)  # they see what time it is


def median(loads: Sequence[Load]) -> Load:
    return Load(
        round(statistics.median(load.requests_per_second for load in loads)),
        statistics.median(load.p50 for load in loads),
        statistics.median(load.p99 for load in loads),
        round(statistics.median(load.cpu for load in loads), 2),
    )


def _latency(output: str, percentile: str) -> float:
    found = re.search(rf"{percentile}\s+([\d.]+)(us|ms|s)", output)
    assert found, output
    return float(found[1]) * _UNITS[found[2]]
