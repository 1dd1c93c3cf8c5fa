"""What several integration tests look at without changing it."""

from collections.abc import Iterator

import pytest

from core.services.flags import archive_flag
from tests.support import grounds
from tests.support.grounds import Ground
from tests.support.installations import Cluster, Installation
from tests.support.openid_issuers import OpenIdIssuer, openid_issuer
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
def issuer(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[OpenIdIssuer]:
    """A company's own, trusted the way an operator trusts a CA of the company's own."""
    with openid_issuer(tmp_path_factory.mktemp("issuer")) as running:
        monkeypatch.setenv("SSL_CERT_FILE", str(running.authority))
        yield running
