"""Real servers for every test that asks for one; see tests/support."""

import os
from collections.abc import Iterator

import hypothesis
import pytest

from tests.support import readers
from tests.support import servers as server_support
from tests.support.installations import Cluster, Database, Installation
from tests.support.memory import folder_in_memory
from tests.support.readers import Prod
from tests.support.servers import Servers

hypothesis.settings.register_profile("flagctl", deadline=None, print_blob=True)
hypothesis.settings.load_profile("flagctl")


@pytest.fixture(autouse=True)
def _no_settings_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that the developer has set, as flagctl's or as libpq's, reaches a test."""
    for name in os.environ:
        own = name.startswith("FLAGCTL_") and not name.startswith("FLAGCTL_TEST_")
        if own or name.startswith("PG"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Postgres and Redis, one pair for each worker of pytest-xdist."""
    with (
        folder_in_memory(tmp_path_factory.mktemp("servers")) as folder,
        server_support.running(folder) as running,
    ):
        yield running


@pytest.fixture(scope="session")
def cluster(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Makes databases on the Postgres server; all of them, and their roles, go at the end."""
    made = Cluster(servers.superuser_url, servers.redis, tmp_path_factory.mktemp("keys"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def installation(cluster: Cluster) -> Iterator[Installation]:
    """A fresh installation with an admin and its token, in a database of its own."""
    with cluster.installation() as made:
        yield made


@pytest.fixture
def empty_database(cluster: Cluster) -> Iterator[Database]:
    """A database where nothing was migrated yet."""
    with cluster.empty_database() as made:
        yield made


@pytest.fixture
def prod(installation: Installation) -> Prod:
    """What a read server is asked for; see tests/support/readers."""
    return readers.fill(installation)
