"""Where these tests try what a login may do, and as whom."""

from collections.abc import Iterator

import pytest

from core.services.flags import Definition, create_flag
from tests.support.installations import Cluster, Installation


@pytest.fixture(scope="module")
def ground(cluster: Cluster) -> Iterator[Installation]:
    """An installation with a row in the tables; whatever these tests try, nothing changes in it."""
    with cluster.installation() as made:
        with made.change() as change:
            create_flag(change, Definition("dark_mode"))
        yield made


@pytest.fixture(params=["reader", "admin"])
def login(request: pytest.FixtureRequest) -> str:
    return str(request.param)
