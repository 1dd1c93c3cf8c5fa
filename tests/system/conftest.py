"""Servers that tests may break."""

from collections.abc import Iterator

import pytest

from tests.support import servers as server_support
from tests.support.installations import Cluster, Installation
from tests.support.memory import folder_in_memory
from tests.support.servers import Servers


@pytest.fixture(scope="session")
def own_servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Servers that tests may break; each leaves them running."""
    with (
        folder_in_memory(tmp_path_factory.mktemp("own")) as folder,
        server_support.running(folder) as running,
    ):
        if running.postgres is None or running.valkey is None:
            pytest.skip("these servers are not ours to stop")
        yield running


@pytest.fixture(scope="session")
def own_cluster(
    own_servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    made = Cluster(own_servers.superuser_url, own_servers.redis, tmp_path_factory.mktemp("keys"))
    yield made
    made.close()


@pytest.fixture
def breakable(installation: Installation, own_servers: Servers) -> Iterator[Servers]:
    """The same servers; whatever a test did to them, afterwards both run."""
    try:
        yield own_servers
    finally:
        for engine in (own_servers.postgres, own_servers.valkey):
            assert engine is not None
            try:
                engine.resume()
            except RuntimeError:
                engine.start()
