"""Everything that a read server exposes, without one."""

import re

from prometheus_client.exposition import generate_latest

from readserver.telemetry import Counts, Gauges, HeldEnvironment, Telemetry


def names_of_series() -> set[str]:
    """As Prometheus stores them: a histogram has three."""
    counts = Counts()
    gauges = Gauges(
        environments=0,
        age_seconds=0,
        stale=False,
        postgres_up=True,
        redis_up=True,
        streams=0,
        leads=True,
    )
    counts.responses["/v1/flags", 200] = counts.evaluations.numbers["", "", ""] = 1
    counts.notifications["postgres"] = counts.wrong_keys["secret"] = 1
    held = [HeldEnvironment("0" * 16, "prod", 1, 0.5)]
    exposed = generate_latest(Telemetry(counts, lambda: gauges, lambda: held)).decode()
    return {re.split(r"[{ ]", line)[0] for line in exposed.splitlines() if line[0] != "#"}
