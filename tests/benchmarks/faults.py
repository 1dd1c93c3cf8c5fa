"""How much slower reads are while Redis is lost: the slowest hundredth, by what is broken.

Usage: python -m tests.benchmarks.faults [--seconds 3] [--rounds 5]

Somebody commits five changes a second all the while, so that there is something to load. Each round
measures the healthy server, then the same one with each fault; what counts is the median of the
rounds' ratios. A failed answer ends the run.
"""

import argparse
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import redis

from core.cache.invalidation import Change, announce
from core.settings import Secret
from flagctl.embedded.valkey import EmbeddedValkey
from tests.benchmarks import load
from tests.benchmarks.figures import Figure, show
from tests.benchmarks.load import Target
from tests.support import proxies, readers
from tests.support.installations import Cluster, Installation
from tests.support.proxies import Proxy
from tests.support.readers import Reader
from tests.support.servers import running
from tests.support.waiting import eventually

BOUND: Final = 3.0  # times the healthy server's
_CONNECTIONS: Final = 8
_CHANGE_EVERY: Final = 0.2  # seconds
_DELAY: Final = 0.1  # seconds, each way
_ASKED: Final = {"GET": "/v1/flags", "OFREP": "/ofrep/v1/evaluate/flags/dark_mode"}


@dataclass(frozen=True)
class World:
    """What is broken, and who is asked."""

    installation: Installation
    valkey: EmbeddedValkey
    way: Proxy  # to Redis, for readers and writers
    reader: Reader
    key: str

    def is_up(self) -> bool:
        return bool(self.reader.get("/readyz").json()["redis"] == "up")


def measure(*, rounds: int = 5, seconds: int = 3) -> list[dict[str, Any]]:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fc-")))
        world = stack.enter_context(_world(folder))
        script = load.write_script(folder)
        stack.enter_context(_changes(world))
        p99: dict[tuple[str, str], list[float]] = {}
        for number in range(rounds + 1):
            for fault, begin in FAULTS.items():
                with begin(world):
                    for asked, milliseconds in _ask(world, script, seconds if number else 1):
                        if number:  # the first one is to warm up
                            p99.setdefault((asked, fault), []).append(milliseconds)
                eventually(world.is_up, "Redis is back", within=20)
        return [asdict(figure) for figure in _figures(p99)]


def _figures(p99: dict[tuple[str, str], list[float]]) -> Iterator[Figure]:
    for (asked, fault), took in p99.items():
        healthy = p99[asked, "healthy"]
        rounds = [mine / other for mine, other in zip(took, healthy, strict=True)]
        name, detail = f"p99 of {asked}, Redis {fault}", f"{statistics.median(took):.2f} ms"
        bound = None if fault == "healthy" else BOUND
        yield Figure(name, statistics.median(rounds), "×", bound, detail)


def _ask(world: World, script: Path, seconds: int) -> Iterator[tuple[str, float]]:
    for asked, path in _ASKED.items():
        target = Target(
            f"http://127.0.0.1:{world.reader.port}{path}",
            world.reader.process.pid,
            {"Authorization": world.key},
            users=asked == "OFREP",
            connections=_CONNECTIONS,
        )
        yield asked, load.run(target, script, seconds).p99


@contextmanager
def _killed(world: World) -> Iterator[None]:
    world.valkey.kill()
    yield
    world.valkey.start()


@contextmanager
def _hung(world: World) -> Iterator[None]:
    world.valkey.suspend()
    yield
    world.valkey.resume()


@contextmanager
def _slow(world: World) -> Iterator[None]:
    world.way.delay = _DELAY
    yield
    world.way.delay = 0.0


@contextmanager
def _full(world: World) -> Iterator[None]:
    with redis.Redis.from_url(world.installation.redis.administrator.reveal()) as client:
        client.config_set("maxmemory", "1")
        yield
        client.config_set("maxmemory", "0")


FAULTS: Final[dict[str, Callable[[World], AbstractContextManager[None]]]] = {
    "healthy": lambda _: nullcontext(),
    "killed": _killed,
    "hung": _hung,
    "slow (100 ms each way)": _slow,
    "full": _full,
}


@contextmanager
def _world(folder: Path) -> Iterator[World]:
    with ExitStack() as stack:
        servers = stack.enter_context(running(folder))
        if servers.valkey is None:
            raise SystemExit("this needs the embedded servers: they are broken in it")
        cluster = Cluster(servers.superuser_url, servers.redis, folder)
        installation = stack.enter_context(cluster.installation())
        prod = readers.fill(installation)
        socket = Path(servers.redis.reader.reveal().rpartition("@")[2])
        way = stack.enter_context(proxies.running(Proxy(folder / "redis.sock", socket)))
        settings = readers.settings_for(installation)
        settings["FLAGCTL_REDIS_URL"] = _through(way, installation.redis.reader).reveal()
        command = load.ON_SERVER_CORE
        reader = stack.enter_context(readers.running(folder, settings, command=command))
        assert reader.get("/v1/flags", prod.server_key).status == 200
        yield World(installation, servers.valkey, way, reader, prod.server_key)


def _through(way: Proxy, address: Secret) -> Secret:
    return Secret(address.reveal().replace(str(way.target), str(way.listening)))


@contextmanager
def _changes(world: World) -> Iterator[None]:
    """Committed and announced, as the command line does both."""
    installation, stop = world.installation, threading.Event()
    environment_id = installation.environment_id("prod")
    writer = _through(world.way, installation.redis.writer)

    def write() -> None:
        state = "off"
        while not stop.wait(_CHANGE_EVERY):
            revision = readers.switch(installation, state)
            row = installation.ask(
                "SELECT flagctl.epoch(), stamp::text FROM flagctl.environments WHERE key = 'prod'"
            )[0]
            announce(writer, [Change(environment_id, row[0], revision, row[1])])
            state = "on" if state == "off" else "off"

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(30)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    arguments = parser.parse_args()
    show(measure(rounds=arguments.rounds, seconds=arguments.seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main())
