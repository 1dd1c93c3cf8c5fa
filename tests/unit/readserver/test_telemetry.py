"""What is counted, and how it is shown: bounded, and right."""

from prometheus_client.exposition import generate_latest

from core.evaluation.result import Reason, Result
from readserver.evaluation_counts import OTHERS, EvaluationCounts
from readserver.histograms import BOUNDS, Histogram
from readserver.telemetry import Counts, Gauges, HeldEnvironment, Telemetry

GAUGES = Gauges(
    environments=0,
    age_seconds=0,
    stale=False,
    postgres_up=True,
    redis_up=True,
    streams=0,
    leads=True,
)


def exposed(counts: Counts, *held: HeldEnvironment) -> list[str]:
    registry = Telemetry(counts, lambda: GAUGES, lambda: held)
    return generate_latest(registry).decode().splitlines()


def test_a_duration_is_in_its_bucket_and_in_those_above() -> None:
    histogram = Histogram()
    for seconds in (0.0, 0.0001, 0.00011, 0.3, 60.0):
        histogram.observe(seconds)
    buckets = dict(histogram.buckets())
    assert list(buckets) == [*map(repr, BOUNDS), "+Inf"]
    assert (buckets["0.0001"], buckets["0.00025"], buckets["0.25"]) == (2, 3, 3)
    assert (buckets["0.5"], buckets["10.0"], buckets["+Inf"]) == (4, 4, 5)
    assert abs(histogram.total - 60.30021) < 1e-9
    counts = Counts(requests=histogram)
    lines = exposed(counts)
    assert 'flagctl_request_seconds_bucket{le="0.00025"} 3.0' in lines
    assert "flagctl_request_seconds_count 5.0" in lines


def test_hits_of_the_fast_path_and_of_the_other_are_one_number() -> None:
    counts = Counts()
    counts.responses["/v1/flags", 200] = 2
    counts.fast["/v1/flags", 200].value = 5
    counts.fast["/v1/flags", 304].value = 3
    counts.hits["memory"] += 1
    counts.hits["database"] += 1
    lines = exposed(counts)
    assert 'flagctl_hits_total{source="memory"} 9.0' in lines
    assert 'flagctl_responses_total{path="/v1/flags",status="200"} 7.0' in lines
    assert 'flagctl_responses_total{path="/v1/flags",status="304"} 3.0' in lines
    assert "flagctl_hit_ratio 0.9" in lines
    assert "flagctl_hit_ratio 0.0" in exposed(Counts()), "nobody asked yet"


def test_an_environment_has_its_revision_and_age() -> None:
    labels = '{environment="pr\\"od",environment_id="0123456789abcdef"}'
    lines = exposed(Counts(), HeldEnvironment("0123456789abcdef", 'pr"od', 7, 1.5))
    assert f"flagctl_snapshot_revision{labels} 7.0" in lines
    assert f"flagctl_snapshot_age_seconds{labels} 1.5" in lines


def test_evaluations_have_so_many_series_and_one_for_the_rest() -> None:
    counted = EvaluationCounts(2)
    results = [
        Result(f"flag_{n % 4}", value=True, variant="on", reason=Reason.STATIC) for n in range(8)
    ]
    counted.add("e", results)
    assert counted.numbers == {("e", "flag_0", "on"): 2, ("e", "flag_1", "on"): 2, OTHERS: 4}
    assert counted.is_wanted
    assert not EvaluationCounts(0).is_wanted
    line = 'flagctl_evaluations_total{environment_id="e",flag="flag_0",variant="on"} 2.0'
    assert line in exposed(Counts(evaluations=counted))
