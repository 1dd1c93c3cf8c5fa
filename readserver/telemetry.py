"""What the server counts. Plain integers, added to on the event loop; read only for /metrics."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from readserver.evaluation_counts import EvaluationCounts
from readserver.histograms import Histogram


@dataclass(slots=True, eq=False)
class Number:
    """One that whoever adds to it often can keep at hand."""

    value: int = 0


@dataclass(slots=True)
class Counts:
    """Since the process started."""

    redis_hits: int = 0
    postgres_loads: int = 0
    postgres_failures: int = 0
    redis_failures: int = 0
    refused: int = 0  # snapshots in Redis with a wrong seal or format
    last_good_writes: int = 0
    last_good_failures: int = 0
    last_good_refused: int = 0  # files that are damaged, or not ours
    checks: int = 0
    failed_checks: int = 0
    stream_events: int = 0
    streams_dropped: int = 0  # whose client did not read
    usage_flushes: int = 0
    usage_failures: int = 0
    turns_given_up: int = 0  # waits for another reader's copy that never came
    hits: Counter[str] = field(default_factory=Counter)  # by source, beside those of the fast path
    wrong_keys: Counter[str] = field(default_factory=Counter)  # by what is wrong
    notifications: Counter[str] = field(default_factory=Counter)  # by channel
    responses: Counter[tuple[str, int]] = field(default_factory=Counter)  # route, status
    # The same of the fast path and the fast lane, which answer out of memory alone.
    fast: defaultdict[tuple[str, int], Number] = field(default_factory=lambda: defaultdict(Number))
    requests: Histogram = field(default_factory=Histogram)
    loads: Histogram = field(default_factory=Histogram)
    evaluations: EvaluationCounts = field(default_factory=lambda: EvaluationCounts(0))

    def all_responses(self) -> Counter[tuple[str, int]]:
        """Those of either lane, by route and status."""
        return self.responses + Counter({of: number.value for of, number in self.fast.items()})


@dataclass(frozen=True, slots=True)
class Gauges:
    """What is true now. `age_seconds` is since Postgres last confirmed what is served."""

    environments: int
    age_seconds: float
    stale: bool
    postgres_up: bool
    redis_up: bool
    streams: int
    leads: bool


_COUNTERS = (
    ("redis_hits", "Snapshots taken from Redis"),
    ("postgres_loads", "Questions to Postgres for a snapshot"),
    ("postgres_failures", "Loads from Postgres that failed"),
    ("turns_given_up", "Waits for a copy that another reader was to make, and did not"),
    ("redis_failures", "Commands that Redis failed or did not answer in time"),
    ("snapshots_refused", "Snapshots in Redis with a wrong seal or an unknown format"),
    ("last_good_writes", "Last-good files that were written"),
    ("last_good_failures", "Last-good files that the disk did not take"),
    ("last_good_refused", "Last-good files that are damaged, or not this user's alone"),
    ("checks", "Checks of the revisions in Postgres"),
    ("failed_checks", "Checks that could not reach Postgres"),
    ("stream_events", "Streams told of a change"),
    ("usage_flushes", "Commands that added to the usage counts in Redis"),
    ("usage_failures", "Environments whose usage counts Redis did not take; they are sent again"),
    ("streams_dropped", "Streams that ended because nobody read them"),
)


@dataclass(frozen=True, slots=True)
class HeldEnvironment:
    """A snapshot in memory. `age_seconds` is since Postgres had the same."""

    id: str
    key: str
    revision: int
    age_seconds: float


class Telemetry:
    """A collector for prometheus_client, over the counts and the gauges."""

    def __init__(
        self,
        counts: Counts,
        gauges: Callable[[], Gauges],
        environments: Callable[[], Iterable[HeldEnvironment]] = tuple,
    ) -> None:
        """`environments` are those that get series of their own: not too many."""
        self._counts = counts
        self._gauges = gauges
        self._environments = environments

    def collect(self) -> Iterator[Metric]:
        counts = self._counts
        for name, text in _COUNTERS:
            attribute = {"snapshots_refused": "refused"}.get(name, name)
            yield CounterMetricFamily(f"flagctl_{name}", text, getattr(counts, attribute))
        hits = self._hits()
        yield _labelled("responses", "Answers", ("path", "status"), counts.all_responses())
        yield _labelled("hits", "Where the snapshot of a request came from", ("source",), hits)
        yield GaugeMetricFamily(
            "flagctl_hit_ratio",
            "The share of requests that memory answered",
            hits["memory",] / (sum(hits.values()) or 1),
        )
        said = "Keys that were refused"
        yield _labelled("wrong_keys", said, ("kind",), _single(counts.wrong_keys))
        said = "Messages that an environment changed"
        yield _labelled("notifications", said, ("channel",), _single(counts.notifications))
        said = "Evaluations, where the settings ask for them"
        labels = ("environment_id", "flag", "variant")
        yield _labelled("evaluations", said, labels, counts.evaluations.numbers)
        yield _histogram("request_seconds", "How long requests took", counts.requests)
        yield _histogram("load_seconds", "How long loads from Postgres took", counts.loads)
        yield from self._collect_environments()
        yield from self._collect_gauges()

    def _hits(self) -> Counter[tuple[str, ...]]:
        hits = _single(self._counts.hits)
        hits["memory",] += sum(number.value for number in self._counts.fast.values())
        return hits

    def _collect_environments(self) -> Iterator[Metric]:
        labels = ["environment_id", "environment"]
        revision = GaugeMetricFamily(
            "flagctl_snapshot_revision", "The revision that is served", labels=labels
        )
        age = GaugeMetricFamily(
            "flagctl_snapshot_age_seconds", "Since Postgres had what is served", labels=labels
        )
        for held in self._environments():
            revision.add_metric([held.id, held.key], held.revision)
            age.add_metric([held.id, held.key], held.age_seconds)
        yield revision
        yield age

    def _collect_gauges(self) -> Iterator[Metric]:
        now = self._gauges()
        for name, text, value in (
            ("environments", "Environments held in memory", now.environments),
            ("age_seconds", "Since Postgres confirmed what is served", now.age_seconds),
            ("stale", "1 while Postgres cannot be reached", now.stale),
            ("postgres_up", "1 while Postgres answers", now.postgres_up),
            ("redis_up", "1 while Redis answers", now.redis_up),
            ("streams", "Event streams that are open", now.streams),
            ("leads", "1 for the worker that listens for its host", now.leads),
        ):
            yield GaugeMetricFamily(f"flagctl_{name}", text, float(value))


def _single(numbers: Counter[str]) -> Counter[tuple[str, ...]]:
    return Counter({(label,): number for label, number in numbers.items()})


def _labelled(
    name: str, text: str, labels: Sequence[str], numbers: Mapping[Any, int]
) -> CounterMetricFamily:
    family = CounterMetricFamily(f"flagctl_{name}", text, labels=labels)
    for values, number in numbers.items():
        family.add_metric([str(value) for value in values], number)
    return family


def _histogram(name: str, text: str, histogram: Histogram) -> HistogramMetricFamily:
    return HistogramMetricFamily(
        f"flagctl_{name}", text, buckets=histogram.buckets(), sum_value=histogram.total
    )
