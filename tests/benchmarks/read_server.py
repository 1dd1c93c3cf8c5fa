"""How fast the read server answers out of memory, and how soon a commit is visible.

Usage: python -m tests.benchmarks.read_server [--rounds 40] [--rounds-for-p99 15]

Every server runs on core 0 and wrk on core 1, by turns in one run; what counts is the median of the
rounds' ratios, with what is compared asked right after each other. The yardsticks are nginx with
the same bytes in a file, and a bare ASGI callable that sends them under uvicorn, uvloop and
httptools.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any, Final

from tests.benchmarks import bare_server, load, nginx
from tests.benchmarks.bench_installations import add_flags, add_key
from tests.benchmarks.load import Load, Target
from tests.benchmarks.visibility import percentiles, visible_after
from tests.support import readers
from tests.support.installations import Cluster, Installation
from tests.support.servers import running

SMALL: Final = 110  # flags: an answer of 2 KB
LARGE: Final = 350
CHANGES: Final = 300
FLAG: Final = "flag-00007"  # one attribute rule, then a rollout
BULK: Final = "/ofrep/v1/evaluate/flags"
TARGET_VISIBLE_P99_MS: Final = 50.0
TARGET_P99_MS: Final = 1.0
FEW: Final = 8  # connections, for the p99
# A shared machine is another one from second to second: a ratio takes many short rounds, so that
# what is compared met the same machine. A p99 is what the longest few pauses make it, and takes
# longer ones.
SECONDS: Final = 1
SECONDS_FOR_P99: Final = 4
FEWEST_QUIET: Final = 0.33  # of the runs
# What is compared with what, and the least that their ratio has to be.
COMPARED: Final = {
    "GET, 2 KB / nginx": ("GET", "nginx", 1.0),
    "GET through ASGI / bare ASGI": ("GET through ASGI", "bare ASGI", 0.9),
    "304 / GET": ("304", "GET", 1.0),
    "OFREP, one flag / bare ASGI": ("OFREP, one flag", "bare ASGI", 1.7),
    f"OFREP, {LARGE} flags / bare ASGI": (f"OFREP, {LARGE} flags", "bare ASGI", 0.4),
}


@contextmanager
def _targets(small: Installation, large: Installation, folder: Path) -> Iterator[dict[str, Target]]:
    """All servers at once: those that are not asked stand still."""
    with ExitStack() as stack:

        def reader(installation: Installation, **settings: str) -> readers.Reader:
            found = readers.settings_for(installation) | settings
            command = load.ON_SERVER_CORE
            return stack.enter_context(readers.running(folder, found, command=command))

        key = add_key(small, "prod")
        fast, plain = reader(small), reader(small, FLAGCTL_FAST_LANE="off")
        answer = [fast.get("/v1/flags", key), fast.get("/v1/flags", key)][-1]
        assert answer.headers["x-cache"] == "memory"
        sent = {"Authorization": key}
        found = {"GET": _flags(fast, sent)}
        found["304"] = _flags(fast, {**sent, "If-None-Match": answer.headers["etag"]})
        if nginx.is_installed():
            served = Target(*stack.enter_context(nginx.running(answer, folder)), {})
            found = {"nginx": served, **found}
        bare = stack.enter_context(bare_server.running(answer, folder))
        found["bare ASGI"] = Target(*bare, sent)
        found["GET through ASGI"] = _flags(plain, sent)
        third, sent = reader(large), {"Authorization": add_key(large, "prod")}
        bulk, pid = f"http://127.0.0.1:{third.port}{BULK}", third.process.pid
        found["OFREP, one flag"] = Target(f"{bulk}/{FLAG}", pid, sent, users=True)
        found[f"OFREP, {LARGE} flags"] = Target(bulk, pid, sent, users=True)
        yield found


def _flags(reader: readers.Reader, headers: Mapping[str, str], connections: int = 32) -> Target:
    url = f"http://127.0.0.1:{reader.port}/v1/flags?environment=prod"
    return Target(url, reader.process.pid, headers, connections=connections)


def measure(*, rounds: int, rounds_for_p99: int) -> dict[str, Any]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        servers = stack.enter_context(running(folder))
        cluster = Cluster(servers.superuser_url, servers.redis, folder)
        small = stack.enter_context(cluster.installation())
        large = stack.enter_context(cluster.installation())
        add_flags(small, SMALL)
        add_flags(large, LARGE)
        with _targets(small, large, folder) as targets:
            script = load.write_script(folder)
            taken = load.by_turns(targets, script, rounds=rounds, seconds=SECONDS)
            few = {
                f"{name}, {FEW} connections": replace(targets[name], connections=FEW)
                for name in ("GET", "nginx")
                if name in targets
            }
            taken |= load.by_turns(few, script, rounds=rounds_for_p99, seconds=SECONDS_FOR_P99)
        medians = {name: load.median(loads) for name, loads in taken.items()}
        result: dict[str, Any] = {"loads": {name: asdict(m) for name, m in medians.items()}}
        result["ratios"] = ratios(taken, lambda load: load.requests_per_second)
        result["cpu_ratios"] = ratios(taken, lambda load: 1 / load.cpu)
        result["quiet_p99"] = quiet_p99(*(taken[name] for name in few))
        return result | _visible(small, folder)


def quiet_p99(ours: Sequence[Load], yardstick: Sequence[Load] = ()) -> tuple[float, int] | None:
    """The median of the runs beside which the yardstick stayed under the bound too, and how many
    they were: what is longer in both is the machine. None where that is nearly all the time."""
    beside = zip(ours, yardstick, strict=bool(yardstick))
    found = [load.p99 for load, other in beside if other.p99 < TARGET_P99_MS]
    if len(found) < FEWEST_QUIET * len(ours):
        return None
    return median(found), len(found)


def ratios(
    taken: Mapping[str, Sequence[Load]], speed: Callable[[Load], float]
) -> dict[str, float | None]:
    """The median of the rounds' ratios; None for what has no yardstick here."""
    return {
        name: round(median(speed(x) / speed(y) for x, y in zip(taken[a], taken[b], strict=True)), 3)
        if b in taken
        else None
        for name, (a, b, _) in COMPARED.items()
    }


def _visible(installation: Installation, folder: Path) -> dict[str, Any]:
    key, found = add_key(installation, "prod"), {}
    with readers.running(folder, readers.settings_for(installation), command=()) as reader:
        reader.get("/v1/flags", key)
        for kind, publish in (("notify", False), ("notify_and_redis", True)):
            took = visible_after(installation, reader.port, key, CHANGES, publish=publish)
            found[f"visible_ms_{kind}"] = percentiles(took)
    return found


def show(result: dict[str, Any]) -> None:
    columns = ("requests/s", "p50 ms", "p99 ms", "CPU µs")
    print(f"{'read server, from memory':<28}" + "".join(f"{c:>12}" for c in columns))
    for name, row in result["loads"].items():
        speed, p50, p99 = row["requests_per_second"], row["p50"], row["p99"]
        print(f"{name:<28}{speed:>12,.0f}{p50:>12.2f}{p99:>12.2f}{row['cpu']:>12.2f}")
    for name, (_, _, least) in COMPARED.items():
        ratio = result["ratios"][name]
        if ratio is None:
            print(f"{name}: not measured: nginx is missing (Debian: nginx)")
        else:
            by_cpu, kept = result["cpu_ratios"][name], _verdict(kept=ratio >= least)
            print(f"{name}: {ratio} (at least {least}: {kept}); by the server's CPU time {by_cpu}")
    _show_p99(result)
    for kind in ("notify", "notify_and_redis"):
        row = result[f"visible_ms_{kind}"]
        kept = _verdict(kept=row["p99"] <= TARGET_VISIBLE_P99_MS)
        print(f"commit to visible, {kind}: p50 {row['p50']} ms, p99 {row['p99']} ms ({kept})")


def _show_p99(result: dict[str, Any]) -> None:
    p99 = result["loads"][f"GET, {FEW} connections"]["p99"]
    kept, said = _verdict(kept=p99 < TARGET_P99_MS), ""
    yardstick = result["loads"].get(f"nginx, {FEW} connections")
    if yardstick is not None:
        said = f"; nginx {yardstick['p99']} ms"
    if result["quiet_p99"] is not None:
        quiet, runs = result["quiet_p99"]
        said += f"; {quiet} ms in the {runs} runs beside which nginx kept it too"
        said += f" ({_verdict(kept=quiet < TARGET_P99_MS)})"
    print(f"p99 with {FEW} connections: {p99} ms (under {TARGET_P99_MS}: {kept}){said}")


def _verdict(*, kept: bool) -> str:
    return "ok" if kept else "MISSED"


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--rounds-for-p99", type=int, default=15)
    arguments = parser.parse_args()
    if not shutil.which("wrk") or not shutil.which("taskset"):
        print("this needs wrk and taskset: apt-get install wrk util-linux", file=sys.stderr)
        return 1
    result = measure(rounds=arguments.rounds, rounds_for_p99=arguments.rounds_for_p99)
    show(result)
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
