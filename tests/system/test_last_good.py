"""A read server that starts while no store can be reached, and serves from its last-good files."""

import fcntl
import os
import stat
from collections.abc import Mapping
from pathlib import Path

import pytest

from core.services import configs
from core.value_types import ValueType
from tests.support import readers
from tests.support.installations import Installation
from tests.support.outages import without_postgres
from tests.support.readers import Prod, Reader, switch, wait_for
from tests.support.waiting import eventually


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The server makes it."""
    return tmp_path / "state" / "last-good"


def settings(installation: Installation, folder: Path) -> dict[str, str]:
    own = {"FLAGCTL_LAST_GOOD_FOLDER": str(folder), "FLAGCTL_CHECK_INTERVAL": "0.5"}
    return readers.settings_for(installation, redis=False) | own


def away(given: Mapping[str, str]) -> dict[str, str]:
    """The same for a server that reaches nothing."""
    nowhere = {
        "FLAGCTL_READER_DATABASE_URL": "postgresql://x:needle@127.0.0.1:1/x",
        "FLAGCTL_REDIS_URL": "redis://:needle@127.0.0.1:1/0",
    }
    return {**given, **nowhere}


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.snapshot"))


def write_one(
    installation: Installation, prod: Prod, tmp_path: Path, folder: Path
) -> tuple[Path, bytes]:
    """Have a server write prod's file, and stop it."""
    with readers.running(tmp_path, settings(installation, folder)) as reader:
        assert reader.get("/v1/flags", prod.server_key).status == 200
        assert reader.stop() == 0
    (path,) = files(folder)
    return path, path.read_bytes()


def served(reader: Reader, prod: Prod) -> tuple[int, int]:
    answer = reader.get("/v1/flags", prod.server_key)
    return answer.status, int(answer.headers.get("flagctl-revision", 0))


def test_a_start_without_any_store(
    installation: Installation, prod: Prod, tmp_path: Path, folder: Path
) -> None:
    path, _ = write_one(installation, prod, tmp_path, folder)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime - 100))
    revision = installation.revisions()["prod"]
    given = settings(installation, folder)
    with readers.running(tmp_path, away(given)) as reader:
        answer = reader.get("/v1/flags", prod.server_key)
        assert (answer.status, answer.json()["dark_mode"]) == (200, True)
        assert answer.headers["flagctl-revision"] == str(revision)
        assert answer.headers["flagctl-stale"] == "true"
        assert 100 <= int(answer.headers["age"]) < 200
        assert reader.get("/v1/flags", "x").status == 401
        unknown = prod.server_key[:-1] + ("0" if prod.server_key[-1] != "0" else "1")
        assert reader.get("/v1/flags", unknown).status == 401
        ready = reader.get("/readyz")
        assert (ready.status, ready.json()["stale"]) == (200, True)
        assert ready.json()["age_seconds"] >= 100
        assert "needle" not in reader.log.read_text()


def test_postgres_comes_back_with_something_newer(
    installation: Installation, prod: Prod, tmp_path: Path, folder: Path
) -> None:
    path, before = write_one(installation, prod, tmp_path, folder)
    switch(installation, "off")
    with without_postgres(installation):
        running = readers.running(tmp_path, settings(installation, folder))
        reader = running.__enter__()
        assert reader.get("/v1/flags", prod.server_key).json()["dark_mode"] is True
    try:
        wait_for(reader, prod.server_key, installation.revisions()["prod"], within=20)
        answer = reader.get("/v1/flags", prod.server_key)
        assert "flagctl-stale" not in answer.headers
        assert answer.json()["dark_mode"] is False
        eventually(lambda: path.read_bytes() != before, "the newer one is written")
    finally:
        running.__exit__(None, None, None)


def test_what_nobody_asked_for_yet_is_served_if_it_is_the_last_word(
    installation: Installation, prod: Prod, tmp_path: Path, folder: Path
) -> None:
    """Postgres goes after the start, and told which revision is true."""
    write_one(installation, prod, tmp_path, folder)
    for is_true in (True, False):
        if not is_true:
            switch(installation, "off")
        with readers.running(tmp_path, settings(installation, folder)) as reader:
            eventually(lambda: reader.get("/readyz").json()["postgres"] == "up", "it knows")
            with without_postgres(installation):
                eventually(lambda: reader.get("/readyz").json()["stale"], "it is lost")
                answer = reader.get("/v1/flags", prod.server_key)
                assert answer.status == (200 if is_true else 503)
                assert not is_true or answer.headers["flagctl-stale"] == "true"


def test_what_is_not_good_is_not_served_and_is_replaced(
    installation: Installation, prod: Prod, tmp_path: Path, folder: Path
) -> None:
    """In which ways a file can be bad, tests/unit/readserver/test_files.py tells."""
    path, good = write_one(installation, prod, tmp_path, folder)
    given = settings(installation, folder)
    path.write_bytes(good[:-10])
    with readers.running(tmp_path, away(given)) as reader:
        assert reader.get("/readyz").status == 200, "there is a file, and nobody has read it"
        assert served(reader, prod) == (503, 0)
        assert reader.get("/readyz").status == 503
        assert reader.metric("flagctl_last_good_refused_total") == 1
        assert "Traceback" not in reader.log.read_text()
    with readers.running(tmp_path, given) as reader:
        assert served(reader, prod)[0] == 200
        assert reader.stop() == 0
    assert path.read_bytes() == good


def test_a_full_disk_is_said_once_and_hurts_nobody(
    installation: Installation, prod: Prod, tmp_path: Path, folder: Path
) -> None:
    """A limit of the process stands for the disk: its log stays below, the snapshot does not."""
    with installation.change() as change:
        configs.define_config(change, configs.Definition("large", ValueType.STRING))
        configs.set_value(change, "large", "prod", "x" * 200_000)
    given = settings(installation, folder)
    limit = ("prlimit", "--fsize=100000")
    with readers.running(tmp_path, given, command=limit) as reader:
        name, failures = "flagctl_last_good_failures_total", 0.0
        for state in ("off", "on"):
            revision = switch(installation, state)
            eventually(lambda: served(reader, prod) == (200, revision), "served")  # noqa: B023
            eventually(lambda: reader.metric(name) > failures, "it failed")  # noqa: B023
            failures = reader.metric(name)
        assert reader.log.read_text().count("last-good files cannot be written") == 1
        assert list(folder.glob("*.new")) == files(folder) == []


def test_whoever_hangs_with_the_files_holds_up_nobody(
    installation: Installation, prod: Prod, tmp_path: Path, folder: Path
) -> None:
    """Another process has the lock and does not go on: the nearest to a disk that hangs."""
    path, before = write_one(installation, prod, tmp_path, folder)
    given = settings(installation, folder)
    with (folder / ".lock").open() as lock, readers.running(tmp_path, given) as reader:
        fcntl.flock(lock, fcntl.LOCK_EX)
        revision = switch(installation, "off")
        eventually(lambda: served(reader, prod) == (200, revision), "served")
        eventually(lambda: reader.metric("flagctl_last_good_failures_total") > 0, "it is counted")
        assert served(reader, prod) == (200, revision)
        assert path.read_bytes() == before
        fcntl.flock(lock, fcntl.LOCK_UN)
        assert reader.stop() == 0
        assert path.read_bytes() != before, "what is left is written at the end"
