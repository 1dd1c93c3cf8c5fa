"""How fast the command line feels: whole processes against the imports they cannot avoid."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.benchmarks.processes import Ratio, compare
from tests.support import servers
from tests.support.installations import Cluster

_ROUNDS = 15
_SMALL = [sys.executable, "-c", "import typer, rich"]
_LARGE = [sys.executable, "-c", "import typer, rich, sqlalchemy.orm, psycopg, redis, jwt"]
_PROGRAM = str(Path(sys.executable).with_name("flagctl"))


def run() -> list[Ratio]:
    """Against a local Postgres and Redis, started for it."""
    with tempfile.TemporaryDirectory(prefix="flagctl-bench-") as name:
        folder = Path(name)
        with servers.running(folder / "servers") as running:
            cluster = Cluster(running.superuser_url, running.redis, folder / "keys")
            try:
                with cluster.installation() as installation:
                    return _measure(installation.environ())
            finally:
                cluster.close()


def _measure(env: Mapping[str, str]) -> list[Ratio]:
    subprocess.run([_PROGRAM, "create", "bench"], env={**os.environ, **env}, check=True)

    def flip(number: int) -> list[str]:
        """Every round has something to commit."""
        return [_PROGRAM, "set", "bench", ("on", "off")[number % 2], "--env", "prod"]

    return [
        compare(
            "flagctl --version / import typer, rich",
            lambda _: [_PROGRAM, "--version"],
            _SMALL,
            rounds=_ROUNDS,
            env=env,
            bound=1.6,
        ),
        compare(
            "flagctl --help / import typer, rich",
            lambda _: [_PROGRAM, "--help"],
            _SMALL,
            rounds=_ROUNDS,
            env=env,
            bound=1.6,
        ),
        compare(
            "flagctl set / import typer, rich, sqlalchemy.orm, psycopg, redis, jwt",
            flip,
            _LARGE,
            rounds=_ROUNDS,
            env=env,
            bound=1.4,
        ),
    ]
