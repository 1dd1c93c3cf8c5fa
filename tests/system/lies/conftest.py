"""A reader that holds prod and listens to Redis, and Redis as an attacker has it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.installations import Installation
from tests.support.lies import Entry, reading
from tests.support.readers import Prod, Reader
from tests.support.waiting import eventually


@pytest.fixture
def raw(installation: Installation) -> Iterator[Any]:
    """Redis as an attacker has it."""
    with redis.Redis.from_url(installation.redis.administrator.reveal()) as client:
        yield client


@pytest.fixture
def entry(installation: Installation, raw: Any) -> Entry:
    return Entry(raw, installation.environment_id("prod"))


@pytest.fixture
def reader(
    installation: Installation, prod: Prod, entry: Entry, tmp_path: Path
) -> Iterator[Reader]:
    """It holds prod, has filled Redis, and listens there."""
    with reading(installation, tmp_path) as running:
        assert running.get("/v1/flags", prod.server_key).status == 200
        revision = installation.revisions()["prod"]
        eventually(lambda: entry.is_copy_of(revision), "the copy is in Redis")
        eventually(lambda: '"listening to Redis"' in running.log.read_text(), "it listens")
        yield running
