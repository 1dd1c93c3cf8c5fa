"""What the soak breaks: both servers, proxies before them, and read servers that come back."""

import itertools
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from core.cache.invalidation import Change as Announcement
from core.cache.invalidation import announce
from core.services import api_keys, configs, flags, overrides
from core.services.change import Change
from core.value_types import ValueType
from flagctl.embedded.postgres import EmbeddedPostgres
from flagctl.embedded.valkey import EmbeddedValkey
from tests.chaos.history import Committed
from tests.support import proxies, readers, redis_users
from tests.support.installations import Cluster, Installation
from tests.support.memory import folder_in_memory
from tests.support.proxies import Proxy
from tests.support.readers import Reader
from tests.support.servers import embedded_postgres, embedded_valkey, speed_up, superuser_url

CHECK_INTERVAL = 2.0  # seconds, as by default
BITS = 4  # flags that hold the last bits of the serial number
ENVIRONMENT = "prod"


@dataclass
class Seat:
    """A place for a read server: one process after the other, or a supervisor with its workers.

    `held_until` is without an end while something is suspended there, then some seconds later."""

    name: str
    workers: int = 1
    reader: Reader | None = None
    generation: int = 0
    held_until: float = 0.0  # monotonic
    hurt_at: float = 0.0  # when one of several workers was killed last

    def worker(self, connection: int) -> str:
        """Who answers on it. A connection stays with its worker; which one that is, nobody says."""
        of_several = f"/{connection}" if self.workers > 1 else ""
        return f"{self.name}.{self.generation}{of_several}"

    def processes(self) -> list[int]:
        """Those that answer."""
        assert self.reader is not None
        pid = self.reader.process.pid
        if self.workers == 1:
            return [pid]
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]


@dataclass
class World:
    """Everything; faults act on it."""

    installation: Installation
    postgres: EmbeddedPostgres
    valkey: EmbeddedValkey
    to_postgres: Proxy
    to_redis: Proxy
    database: str  # the readers' address of Postgres, by the proxy
    key: str
    environment_id: str
    folder: Path
    seats: list[Seat]
    committed: dict[int, Committed] = field(default_factory=dict)
    serials: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _stacks: dict[str, ExitStack] = field(default_factory=dict)

    def settings(self, workers: int) -> dict[str, str]:
        """Of a reader: it knows both servers by the proxies only."""
        cache = self.installation.redis.reader.reveal()
        return {
            "FLAGCTL_READER_DATABASE_URL": self.database,
            "FLAGCTL_REDIS_URL": cache.replace(
                str(self.to_redis.target), str(self.to_redis.listening)
            ),
            "FLAGCTL_CHECK_INTERVAL": str(CHECK_INTERVAL),
            "FLAGCTL_WORKERS": str(workers),
        }

    def seat(self, seat: Seat) -> None:
        """Start a read server there; it may find nobody who answers."""
        stack = ExitStack()
        settings = self.settings(seat.workers)
        reader = stack.enter_context(readers.running(self.folder, settings, ready=False))
        self._stacks[seat.name] = stack
        seat.generation += 1
        seat.reader = reader

    def unseat(self, seat: Seat) -> None:
        """Kill it."""
        seat.reader = None
        self._stacks.pop(seat.name).close()

    def close(self) -> None:
        for seat in self.seats:
            if seat.reader is not None:
                self.unseat(seat)

    def write(self) -> None:
        """One change: the serial number as a config, and its last bits as flags. Redis is told as
        the command line tells it. Raises FlagctlError when Postgres is away."""
        serial = next(self.serials)
        with self.installation.change() as change:
            set_state(change, serial)
        known_at = time.monotonic()
        for raised in change.outcome.raised:
            self.committed[raised.revision] = Committed(serial, known_at)
        announce(
            self.installation.redis.writer,
            [
                Announcement(r.public_id, change.outcome.epoch, r.revision, str(r.stamp))
                for r in change.outcome.raised
            ],
        )


def set_state(change: Change, serial: int) -> None:
    configs.set_value(change, "serial", ENVIRONMENT, serial)
    for bit in range(BITS):
        state = "on" if serial >> bit & 1 else "off"
        overrides.set_override(change, f"bit_{bit}", ENVIRONMENT, state)


def fill(installation: Installation) -> str:
    """The flags and the config; an API key."""
    with installation.change() as change:
        configs.define_config(change, configs.Definition("serial", ValueType.INTEGER))
        for bit in range(BITS):
            flags.create_flag(change, flags.Definition(f"bit_{bit}"))
        return api_keys.create_key(change, "soak", ENVIRONMENT).key


@contextmanager
def world(workers: Sequence[int]) -> Iterator[World]:
    """A durable Postgres and a Valkey of its own, with readers of so many workers started."""
    with ExitStack() as stack:
        disk = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="flagctl-chaos-")))
        folder = stack.enter_context(folder_in_memory(disk))
        postgres = stack.enter_context(embedded_postgres(folder, durable=True))
        valkey = stack.enter_context(embedded_valkey(folder))
        speed_up(superuser_url(postgres))
        redis = redis_users.of_embedded(valkey)
        cluster = Cluster(superuser_url(postgres), redis, disk)
        installation = stack.enter_context(cluster.installation())
        proxied = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fc-")))
        reader_url = installation.reader_url.reveal()
        to_postgres, database = stack.enter_context(proxies.before_postgres(reader_url, proxied))
        valkey_socket = Path(redis.reader.reveal().rpartition("@")[2])
        to_redis = Proxy(proxied / "valkey.sock", valkey_socket)
        stack.enter_context(proxies.running(to_redis))
        made = World(
            installation,
            postgres,
            valkey,
            to_postgres,
            to_redis,
            database,
            fill(installation),
            installation.environment_id(ENVIRONMENT),
            disk,
            [Seat(f"reader{number}", count) for number, count in enumerate(workers)],
        )
        stack.callback(made.close)
        made.write()
        for seat in made.seats:
            made.seat(seat)
        yield made
