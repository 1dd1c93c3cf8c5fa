"""Read servers of one release on the schema of another, under load, while it changes below them."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from core.services.schema import downgrade, head, upgrade
from tests.migrations.releases import next_release
from tests.support.installations import Installation
from tests.support.readers import environ, fill, running, settings_for, switch, wait_for
from tests.support.traffic import traffic
from tests.support.waiting import eventually

OLDER = "error: this flagctl is older than the database: it writes to schema "


def is_whole(path: str, document: dict[str, Any]) -> bool:
    if path == "/v1/configs":
        return document == {"max_items": 5}
    return {"dark_mode", "hidden", "banner"} <= document.keys()


@contextmanager
def written_all_the_time(
    installation: Installation,
) -> Iterator[list["subprocess.CompletedProcess[str]"]]:
    """The command line of this release, switching a flag to and fro until the block ends."""
    ended: list[subprocess.CompletedProcess[str]] = []
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            state = ("on", "off")[len(ended) % 2]
            words = ("set", "hidden", state, "--env", "prod")
            ran = subprocess.run(
                [sys.executable, "-m", "flagctl", *words],
                env=environ(installation.environ()),
                capture_output=True,
                text=True,
                check=False,
            )
            ended.append(ran)

    writing = threading.Thread(target=write)
    writing.start()
    try:
        yield ended
    finally:
        stop.set()
        writing.join(30)


@pytest.mark.parametrize("redis", [True, False], ids=["with Redis", "without Redis"])
def test_no_read_fails_while_the_schema_goes_up_and_down(
    installation: Installation, tmp_path: Path, redis: bool
) -> None:
    prod = fill(installation)
    settings = settings_for(installation, redis=redis) | {"FLAGCTL_CHECK_INTERVAL": "0.3"}
    owner, prefix, this = installation.owner_url, installation.prefix, head()
    with ExitStack() as stack:
        reader = stack.enter_context(running(tmp_path, settings))
        wait_for(reader, prod.server_key, installation.revisions()["prod"], within=10)
        load = stack.enter_context(traffic(reader.port, prod.server_key, is_whole))
        with next_release():
            with written_all_the_time(installation) as ended:
                eventually(lambda: ended, "a write before the upgrade")
                assert len(upgrade(owner, prefix=prefix).pending) == 1
                eventually(lambda: ended[-1].returncode != 0, "a write after it")
            # The older command line writes, and from one moment on it does not.
            assert [code for code, _ in groupby(run.returncode for run in ended)] == [0, 7]
            assert all(OLDER in run.stderr for run in ended if run.returncode)
            # The schema is the next release's, and so is who writes: the reader is of this one.
            wait_for(reader, prod.server_key, switch(installation, "off"), within=10)
            with running(tmp_path, settings) as late:
                assert late.get("/v1/flags", prod.server_key).json()["dark_mode"] is False
            downgrade(owner, prefix=prefix, to=this)
        wait_for(reader, prod.server_key, switch(installation, "on"), within=10)
        assert reader.get("/v1/flags", prod.server_key).json()["dark_mode"] is True
        assert reader.metric("flagctl_postgres_failures_total") == 0
    assert load.failures == []
    assert min(load.answers) > 100
