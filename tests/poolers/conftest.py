"""Real installations behind a real PgBouncer, in transaction mode, with one server connection."""

from collections.abc import Iterator

import pytest

from tests.poolers import pgbouncer
from tests.poolers.pgbouncer import Pooled
from tests.support.command_lines import CommandLine
from tests.support.installations import Installation


@pytest.fixture
def pooled(installation: Installation) -> Iterator[Pooled]:
    """A fresh installation, and the same through PgBouncer."""
    with pgbouncer.running(installation) as made:
        yield made


@pytest.fixture
def cli(pooled: Pooled) -> CommandLine:
    """As an admin, through PgBouncer but for the owner's address."""
    environ = pooled.through.environ() | {
        "FLAGCTL_OWNER_DATABASE_URL": pooled.direct.owner_url.reveal(),
        "XDG_CONFIG_HOME": "/nonexistent",
    }
    return CommandLine(pooled.through, environ)
