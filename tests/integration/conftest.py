"""What several integration tests look at without changing it."""

from collections.abc import Iterator

import pytest

from core.services.flags import archive_flag
from tests.support import grounds, readers
from tests.support import servers as server_support
from tests.support.grounds import Ground
from tests.support.installations import Cluster, Installation
from tests.support.memory import folder_in_memory
from tests.support.openid_issuers import OpenIdIssuer, openid_issuer
from tests.support.readers import Prod
from tests.support.seeds import fill
from tests.support.servers import Servers


@pytest.fixture(scope="module")
def seeded(cluster: Cluster) -> Iterator[Installation]:
    """An installation with one of everything. For tests that leave it as they find it."""
    with cluster.installation() as made:
        with made.change(confirmed=True) as change:
            fill(change)
        with made.change(confirmed=True) as change:
            archive_flag(change, "old_flag")
        yield made


@pytest.fixture(scope="session")
def _ground_template(cluster: Cluster) -> Iterator[Ground]:
    with cluster.installation() as made:
        yield grounds.prepare(made)


@pytest.fixture(scope="module")
def ground(cluster: Cluster, _ground_template: Ground) -> Iterator[Ground]:
    """What attackers start from, for all tests of a module."""
    with cluster.installation(_ground_template.installation) as clone:
        yield _ground_template.on(clone)


@pytest.fixture
def own_ground(cluster: Cluster, _ground_template: Ground) -> Iterator[Ground]:
    """For tests that change something in it."""
    with cluster.installation(_ground_template.installation) as clone:
        yield _ground_template.on(clone)


@pytest.fixture
def prod(installation: Installation) -> Prod:
    """What a read server is asked for; see tests/support/readers."""
    return readers.fill(installation)


@pytest.fixture
def issuer(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OpenIdIssuer]:
    """A company's own, trusted the way an operator trusts a CA of the company's own."""
    with openid_issuer(tmp_path_factory.mktemp("issuer")) as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(running.authority))
        yield running


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
