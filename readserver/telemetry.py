"""What the server counts. Plain integers, added to on the event loop; read only for /metrics."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


@dataclass(slots=True)
class Counts:
    """Since the process started."""

    memory_hits: int = 0  # answered on the fast path with 200
    memory_not_modified: int = 0  # answered on the fast path with 304
    redis_hits: int = 0
    postgres_loads: int = 0
    postgres_failures: int = 0
    redis_failures: int = 0
    refused: int = 0  # snapshots in Redis with a wrong seal or format
    checks: int = 0
    failed_checks: int = 0
    stream_events: int = 0
    streams_dropped: int = 0  # whose client did not read
    notifications: Counter[str] = field(default_factory=Counter)  # by channel
    responses: Counter[tuple[str, int]] = field(default_factory=Counter)  # slow path: route, status


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is true now. `age_seconds` is since Postgres last confirmed what is served."""

    environments: int
    age_seconds: float
    stale: bool
    postgres_up: bool
    redis_up: bool
    streams: int


_COUNTERS = (
    ("redis_hits", "Snapshots taken from Redis"),
    ("postgres_loads", "Questions to Postgres for a snapshot"),
    ("postgres_failures", "Loads from Postgres that failed"),
    ("redis_failures", "Commands that Redis failed or did not answer in time"),
    ("snapshots_refused", "Snapshots in Redis with a wrong seal or an unknown format"),
    ("checks", "Checks of the revisions in Postgres"),
    ("failed_checks", "Checks that could not reach Postgres"),
    ("stream_events", "Streams told of a change"),
    ("streams_dropped", "Streams that ended because nobody read them"),
)


class Telemetry:
    """A collector for prometheus_client, over the counts and the gauges."""

    def __init__(self, counts: Counts, gauges: Callable[[], Gauges]) -> None:
        self._counts = counts
        self._gauges = gauges

    def registry(self) -> CollectorRegistry:
        registry = CollectorRegistry()
        registry.register(self)
        return registry

    def collect(self) -> Iterator[Metric]:
        yield self._responses()
        for name, text in _COUNTERS:
            attribute = {"snapshots_refused": "refused"}.get(name, name)
            yield CounterMetricFamily(f"flagctl_{name}", text, getattr(self._counts, attribute))
        notifications = CounterMetricFamily(
            "flagctl_notifications", "Messages that an environment changed", labels=["channel"]
        )
        for channel, number in self._counts.notifications.items():
            notifications.add_metric([channel], number)
        yield notifications
        yield from self._collect_gauges()

    def _responses(self) -> Metric:
        """Answers by route and status; the fast path counts its two kinds without a label."""
        family = CounterMetricFamily("flagctl_responses", "Answers", labels=["path", "status"])
        family.add_metric(["memory", "200"], self._counts.memory_hits)
        family.add_metric(["memory", "304"], self._counts.memory_not_modified)
        for (path, status), number in self._counts.responses.items():
            family.add_metric([path, str(status)], number)
        return family

    def _collect_gauges(self) -> Iterator[Metric]:
        now = self._gauges()
        for name, text, value in (
            ("environments", "Environments held in memory", now.environments),
            ("age_seconds", "Since Postgres confirmed what is served", now.age_seconds),
            ("stale", "1 while Postgres cannot be reached", now.stale),
            ("postgres_up", "1 while Postgres answers", now.postgres_up),
            ("redis_up", "1 while Redis answers", now.redis_up),
            ("streams", "Event streams that are open", now.streams),
        ):
            yield GaugeMetricFamily(f"flagctl_{name}", text, float(value))
