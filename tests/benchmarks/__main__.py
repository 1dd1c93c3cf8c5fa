"""All measurements: a table for people, and bench-results/results.json for machines."""

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.benchmarks import authority, command_line, evaluation, faults, read_server, sizes
from tests.benchmarks.figures import show

_RESULTS = Path("bench-results") / "results.json"


def main() -> int:
    _require_tools()
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"on {machine}\n")
    ratios = command_line.run()
    for ratio in ratios:
        print(
            f"{ratio.name}: {ratio.seconds:.3f} s / {ratio.baseline_seconds:.3f} s"
            f" = {ratio.ratio:.2f} (at most {ratio.bound})"
        )
    print()
    evaluations = evaluation.measure()
    show(evaluations)
    print()
    figures = authority.measure()
    show(figures)
    print()
    reads = read_server.measure(rounds=40, rounds_for_p99=15)
    read_server.show(reads)
    print()
    held = sizes.measure()
    show(held)
    print()
    broken = faults.measure()
    show(broken)
    results: dict[str, Any] = {
        "machine": machine,
        "command_line": [asdict(ratio) for ratio in ratios],
        "evaluation": evaluations,
        "authority": figures,
        "read_server": reads,
        "sizes": held,
        "faults": broken,
    }
    _RESULTS.parent.mkdir(exist_ok=True)
    _RESULTS.write_text(json.dumps(results, indent=2) + "\n")
    print(f"\nwritten to {_RESULTS}")
    return 0


def _require_tools() -> None:
    """wrk makes the load, nginx is a yardstick; as root on Debian they are fetched."""
    missing = [tool for tool in ("wrk", "nginx") if shutil.which(tool) is None]
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(["apt-get", "update", "-qq"], check=True)
        subprocess.run(["apt-get", "install", "-qq", "-y", *missing], check=True)
    if shutil.which("wrk") is None or shutil.which("taskset") is None:
        raise SystemExit("make bench needs wrk and taskset (Debian: wrk, util-linux)")


if __name__ == "__main__":
    sys.exit(main())
