"""What several integration tests look at without changing it."""

from collections.abc import Iterator

import pytest

from core.services.flags import archive_flag
from tests.support.installations import Cluster, Installation
from tests.support.seeds import fill


@pytest.fixture(scope="module")
def seeded(cluster: Cluster) -> Iterator[Installation]:
    """An installation with one of everything. For tests that leave it as they find it."""
    with cluster.installation() as made:
        with made.change(confirmed=True) as change:
            fill(change)
        with made.change(confirmed=True) as change:
            archive_flag(change, "old_flag")
        yield made
