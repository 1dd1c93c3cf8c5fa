"""Metrics of several workers in one answer."""

from prometheus_client import generate_latest

from readserver.board import Board
from readserver.telemetry import Counts, Gauges, Telemetry
from readserver.worker_metrics import Shared

GAUGES = Gauges(
    environments=1,
    age_seconds=0,
    stale=False,
    postgres_up=True,
    redis_up=False,
    streams=0,
    leads=True,
)


def test_each_under_its_number() -> None:
    board, counts = Board(3), [Counts(), Counts()]
    counts[0].fast["/v1/flags", 200].value = 5
    counts[1].fast["/v1/flags", 200].value = 7
    counts[1].responses["/v1/flags", 401] = 2
    shared = [
        Shared(Telemetry(own, lambda: GAUGES), board, index) for index, own in enumerate(counts)
    ]
    shared[1].write()
    text = generate_latest(shared[0]).decode()
    for line in (
        'flagctl_hits_total{source="memory",worker="0"} 5.0',
        'flagctl_hits_total{source="memory",worker="1"} 7.0',
        'flagctl_responses_total{path="/v1/flags",status="401",worker="1"} 2.0',
        'flagctl_postgres_up{worker="1"} 1.0',
    ):
        assert line in text.splitlines()
    assert 'worker="2"' not in text, "it never wrote"
    assert text.count("# TYPE flagctl_responses_total") == 1
