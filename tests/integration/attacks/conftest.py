"""The ground of these attacks: the two organizations of tests/integration/authority."""

from collections.abc import Iterator

import pytest

from tests.integration.authority.conftest import Ground, prepare
from tests.support.installations import Cluster, Installation


@pytest.fixture(scope="module")
def ground(cluster: Cluster) -> Iterator[Ground]:
    with cluster.installation() as made:
        yield prepare(made)


@pytest.fixture
def own_ground(installation: Installation) -> Ground:
    """For tests that change something in it."""
    return prepare(installation)
