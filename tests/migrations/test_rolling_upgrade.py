"""Read servers of one release on the schema of another, while it changes below them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from core.errors import UnavailableError
from core.services.schema import downgrade, head, upgrade
from tests.migrations.releases import next_release
from tests.support.installations import Installation
from tests.support.readers import Prod, Reader, fill, running, settings_for, switch, wait_for


@contextmanager
def asked_all_the_time(reader: Reader, prod: Prod) -> Iterator[list[int]]:
    """Requests one after another, until the block ends; all that was not answered well."""
    failed: list[int] = []
    stop = threading.Event()

    def ask() -> None:
        while not stop.is_set():
            flags = reader.get("/v1/flags", prod.server_key)
            configs = reader.get("/v1/configs", prod.server_key)
            if flags.status != 200 or "dark_mode" not in flags.json():
                failed.append(flags.status)
            if configs.status != 200 or configs.json() != {"max_items": 5}:
                failed.append(configs.status)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        yield failed
    finally:
        stop.set()
        asking.join(30)


@pytest.mark.parametrize("redis", [True, False], ids=["with Redis", "without Redis"])
def test_no_read_fails_while_the_schema_goes_up_and_down(
    installation: Installation, tmp_path: Path, redis: bool
) -> None:
    prod = fill(installation)
    settings = settings_for(installation, redis=redis) | {"FLAGCTL_CHECK_INTERVAL": "0.1"}
    owner, prefix, this = installation.owner_url, installation.prefix, head()
    with running(tmp_path, settings) as reader, asked_all_the_time(reader, prod) as failed:
        with next_release():
            assert len(upgrade(owner, prefix=prefix).pending) == 1
            # The schema is the next release's, and so is who writes: the reader is of this one.
            wait_for(reader, prod.server_key, switch(installation, "off"), within=10)
            with running(tmp_path, settings) as late:
                assert late.get("/v1/flags", prod.server_key).json()["dark_mode"] is False
        with pytest.raises(UnavailableError, match="this flagctl is older than the database"):
            switch(installation, "on")
        with next_release():
            downgrade(owner, prefix=prefix, to=this)
        wait_for(reader, prod.server_key, switch(installation, "on"), within=10)
        assert reader.get("/v1/flags", prod.server_key).json()["dark_mode"] is True
        assert reader.metric("flagctl_postgres_failures_total") == 0
    assert failed == []
