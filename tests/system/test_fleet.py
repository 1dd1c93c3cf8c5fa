"""Twenty read servers as processes, and a hundred changes: what Postgres sees of them."""

from pathlib import Path

from core.cache.invalidation import Change, announce
from core.services.configs import set_value
from tests.support import fleets, readers
from tests.support.installations import Installation
from tests.support.waiting import eventually

READERS, CHANGES = 20, 100


def loads(installation: Installation) -> int:
    """How often the keys of an environment were read: each load does so once, and no write."""
    found = installation.ask(
        "SELECT coalesce(seq_scan, 0) + coalesce(idx_scan, 0) FROM pg_stat_user_tables"
        " WHERE schemaname = 'flagctl' AND relname = 'api_keys'"
    )
    return int(found[0][0])


def connections(installation: Installation) -> int:
    """Those of read servers."""
    found = installation.ask(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = 'flagctl readserver'"
    )
    return int(found[0][0])


def change(installation: Installation, number: int) -> int:
    """As a command does it: commit, then tell Redis."""
    with installation.change() as opened:
        set_value(opened, "max_items", "prod", number)
    (raised,) = opened.outcome.raised
    stamp = str(raised.stamp)
    told = Change(raised.public_id, opened.outcome.epoch, raised.revision, stamp)
    assert announce(installation.redis.writer, [told]) is None
    return raised.revision


def test_a_change_costs_two_loads_at_most(installation: Installation, tmp_path: Path) -> None:
    """Each process is a server: one connection loads, one listens, and one checks."""
    readers.fill(installation)
    environment_id = installation.environment_id("prod")
    settings = readers.settings_for(installation)
    with fleets.running(tmp_path, settings, environment_id, size=READERS) as fleet:
        fleet.wait_for(1, within=60)  # twenty processes start, perhaps beside another suite
        most = 0
        for number in range(CHANGES):
            fleet.wait_for(change(installation, number))
            most = max(most, connections(installation) if number % 10 == 0 else 0)
        fleet.stop()
    assert READERS < most <= 3 * READERS
    # Whoever leaves says what it did.
    eventually(lambda: connections(installation) == 0, "all are gone")
    assert CHANGES <= loads(installation) <= 2 * (CHANGES + 1)
