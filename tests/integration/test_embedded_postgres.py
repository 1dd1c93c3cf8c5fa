"""The embedded Postgres: who gets in, what others can see, what survives."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil  # type: ignore[import-untyped,unused-ignore]
import psycopg
import pytest

from core.errors import UnavailableError
from flagctl.embedded.postgres import EmbeddedPostgres
from flagctl.embedded.process_table import descendants, is_alive
from flagctl.embedded.processes import spawn
from flagctl.embedded.unprivileged import account_for
from flagctl.embedded.waiting import until

PASSWORD = "s3cret / @:%? ü"


@pytest.fixture(autouse=True)
def _no_libpq_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGPASSWORD", "PGPASSFILE", "PGUSER", "PGPORT", "PGHOST", "PGSERVICE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder too deep for a socket, below one that only its owner may enter."""
    closed = tmp_path_factory.mktemp("closed")
    folder = closed / ("a" * 100) / ("b" * 100)
    folder.mkdir(parents=True)
    closed.chmod(0o700)
    return folder


@pytest.fixture(scope="module")
def postgres(deep: Path) -> Iterator[EmbeddedPostgres]:
    """One server for all tests that leave it as it is; its data folder was begun once before."""
    (deep / "postgres.new" / "base").mkdir(parents=True)
    (deep / "postgres.new" / "PG_VERSION").write_text("18\n")
    with EmbeddedPostgres(deep / "postgres", password=PASSWORD, durable=False) as server:
        yield server


def connect(
    server: EmbeddedPostgres, user: str = "postgres", password: str = PASSWORD
) -> psycopg.Connection[Any]:
    return psycopg.connect(server.url(user, password, "postgres"), autocommit=True)


def ask(server: EmbeddedPostgres, statement: str) -> Any:
    with connect(server) as connection:
        row = connection.execute(statement.encode()).fetchone()
    return row[0] if row else None


def run(server: EmbeddedPostgres, statement: str) -> None:
    with connect(server) as connection:
        connection.execute(statement.encode())


def runtime(server: EmbeddedPostgres) -> Path:
    return Path(parse_qs(urlsplit(server.url("u", "p", "d")).query)["host"][0])


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def processes(server: EmbeddedPostgres) -> list[int]:
    return [server.pid, *descendants(server.pid)]


def alive(server: EmbeddedPostgres) -> list[psutil.Process]:
    """The processes that stay: a backend of a moment ago may end while we ask about it."""
    postmaster = psutil.Process(server.pid)
    lasting = ("checkpointer", "background writer", "walwriter")
    found = [
        child
        for child in postmaster.children()
        if any(word in " ".join(_command(child)) for word in lasting)
    ]
    assert len(found) == len(lasting)
    return [postmaster, *found]


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:
        return []


def test_is_version_18_with_checksums_and_the_same_text_order_everywhere(
    postgres: EmbeddedPostgres,
) -> None:
    assert ask(postgres, "SHOW server_version").startswith("18.")
    assert ask(postgres, "SHOW data_checksums") == "on"
    assert ask(postgres, "SHOW server_encoding") == "UTF8"
    query = "SELECT concat_ws(' ', datlocprovider, datlocale) FROM pg_database LIMIT 1"
    assert ask(postgres, query) == "b C.UTF-8"


@pytest.mark.parametrize("password", ["", "wrong", PASSWORD + "x"])
def test_refuses_a_wrong_password_of_the_superuser(
    postgres: EmbeddedPostgres, password: str
) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        connect(postgres, password=password)


def test_refuses_whoever_has_no_password(postgres: EmbeddedPostgres) -> None:
    for user in ("postgres", "root", "nobody"):
        url = f"postgresql://{user}@/postgres?host={runtime(postgres)}"
        with pytest.raises(psycopg.OperationalError, match="no password supplied"):
            psycopg.connect(url)


def test_asks_other_users_for_their_passwords_too(postgres: EmbeddedPostgres) -> None:
    run(postgres, "CREATE ROLE reader LOGIN PASSWORD 'right'")
    with connect(postgres, "reader", "right") as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("reader",)
    for password in ("wrong", PASSWORD):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            connect(postgres, "reader", password)


def test_a_data_folder_that_was_not_finished_is_made_afresh(
    postgres: EmbeddedPostgres, deep: Path
) -> None:
    assert ask(postgres, "SELECT 1") == 1
    left = {path.name for path in deep.iterdir()}
    assert left == {"postgres", "postgres.lock", "postgres.log"}


def test_stores_the_password_as_scram_alone(postgres: EmbeddedPostgres) -> None:
    stored = ask(postgres, "SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'")
    assert stored.startswith("SCRAM-SHA-256$")
    rules = "SELECT string_agg(DISTINCT auth_method, ',') FROM pg_hba_file_rules"
    assert ask(postgres, rules) == "scram-sha-256"


def test_listens_on_no_port(postgres: EmbeddedPostgres) -> None:
    for process in alive(postgres):
        assert process.net_connections(kind="inet") == []


def test_folders_and_files_are_private(postgres: EmbeddedPostgres, deep: Path) -> None:
    data = deep / "postgres"
    private = [data, runtime(postgres), runtime(postgres) / ".s.PGSQL.5432"]
    assert [oct(mode(path)) for path in private] == ["0o700"] * 3
    files = [postgres.log, deep / "postgres.lock", data / "PG_VERSION", data / "pg_hba.conf"]
    assert [oct(mode(path)) for path in files] == ["0o600"] * 4


def test_leaves_the_password_in_no_file_and_no_log(postgres: EmbeddedPostgres, deep: Path) -> None:
    beside = [path for path in deep.iterdir() if path.is_file()]
    for path in [*beside, *runtime(postgres).iterdir()]:
        if path.is_file():
            assert PASSWORD.encode() not in path.read_bytes()
    assert not (runtime(postgres) / "password").exists()


def test_does_not_run_as_root(postgres: EmbeddedPostgres, deep: Path) -> None:
    for process in alive(postgres):
        assert 0 not in process.uids()
        assert 0 not in process.gids()
    assert (deep / "postgres").stat().st_uid == psutil.Process(postgres.pid).uids().real


def test_does_not_hear_a_ctrl_c_of_our_terminal(postgres: EmbeddedPostgres) -> None:
    assert os.getsid(postgres.pid) != os.getsid(0)


def test_reads_its_settings_again_when_asked(postgres: EmbeddedPostgres) -> None:
    run(postgres, "ALTER SYSTEM SET work_mem = '7MB'")
    run(postgres, "SELECT pg_reload_conf()")
    assert until(lambda: bool(ask(postgres, "SHOW work_mem") == "7MB"), timeout=10)


def test_a_second_one_on_the_same_folder_is_refused_and_harms_nobody(
    postgres: EmbeddedPostgres, deep: Path
) -> None:
    second = EmbeddedPostgres(deep / "postgres", password=PASSWORD)
    with pytest.raises(UnavailableError, match="in use by another flagctl"):
        second.start()
    second.stop()
    assert ask(postgres, "SELECT 1") == 1


def test_is_started_once(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(RuntimeError, match="runs already"):
        postgres.start()
    assert ask(postgres, "SELECT 1") == 1


def test_a_password_must_be_one_line() -> None:
    for password in ("", "two\nlines", "nul\0"):
        with pytest.raises(ValueError, match="printable"):
            EmbeddedPostgres(Path("unused"), password=password)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose `postgres` was made by a durable server and stopped."""
    folder = tmp_path_factory.mktemp("made")
    with EmbeddedPostgres(folder / "postgres", password=PASSWORD) as server:
        assert ask(server, "SHOW fsync") == "on"
        run(server, "CREATE TABLE kept (note text)")
    return folder


@pytest.fixture
def stopped(made: Path) -> Iterator[EmbeddedPostgres]:
    """Its data, and the server stopped before and after."""
    server = EmbeddedPostgres(made / "postgres", password=PASSWORD, max_connections=37)
    yield server
    server.stop()


def test_keeps_its_address_and_its_data_when_it_is_stopped(stopped: EmbeddedPostgres) -> None:
    stopped.start()
    url, folder = stopped.url("postgres", PASSWORD, "postgres"), runtime(stopped)
    run(stopped, "INSERT INTO kept VALUES ('stopped')")
    pids = processes(stopped)
    stopped.stop()
    assert not any(map(is_alive, pids))
    assert not folder.exists()
    stopped.start()
    assert stopped.url("postgres", PASSWORD, "postgres") == url
    assert ask(stopped, "SELECT count(*) FROM kept WHERE note = 'stopped'") == 1


def test_keeps_its_address_and_its_data_when_it_is_killed(stopped: EmbeddedPostgres) -> None:
    stopped.start()
    url = stopped.url("postgres", PASSWORD, "postgres")
    with connect(stopped) as connection:
        connection.execute("INSERT INTO kept VALUES ('killed')")
        pids = processes(stopped)
        stopped.kill()
        with pytest.raises(psycopg.OperationalError):
            connection.execute("SELECT 1")
    assert not any(map(is_alive, pids))
    with pytest.raises(psycopg.OperationalError):
        connect(stopped)
    stopped.start()
    assert stopped.url("postgres", PASSWORD, "postgres") == url
    assert ask(stopped, "SELECT count(*) FROM kept WHERE note = 'killed'") == 1


@pytest.mark.skipif(not Path("/proc/sysvipc/shm").exists(), reason="Linux tells what is left")
def test_leaves_no_shared_memory_when_it_is_killed_and_not_started_again(
    stopped: EmbeddedPostgres, made: Path
) -> None:
    stopped.start()
    segment = (made / "postgres" / "postmaster.pid").read_text().splitlines()[6].split()[1]
    stopped.kill()
    stopped.stop()
    left = [line.split()[1] for line in Path("/proc/sysvipc/shm").read_text().splitlines()[1:]]
    assert segment not in left


def test_suspends_and_resumes_all_its_processes(stopped: EmbeddedPostgres) -> None:
    def states() -> set[str]:
        return {psutil.Process(pid).status() for pid in processes(stopped)}

    stopped.start()
    with connect(stopped) as connection:
        stopped.suspend()
        assert until(lambda: states() == {psutil.STATUS_STOPPED}, timeout=10)
        stopped.resume()
        assert connection.execute("SELECT 1").fetchone() == (1,)
    stopped.suspend()
    stopped.stop()


def test_takes_the_number_of_connections(stopped: EmbeddedPostgres) -> None:
    stopped.start()
    assert ask(stopped, "SHOW max_connections") == "37"


def test_durable_is_a_choice(made: Path) -> None:
    with EmbeddedPostgres(made / "postgres", password=PASSWORD, durable=False) as server:
        for name in ("fsync", "synchronous_commit", "full_page_writes"):
            assert ask(server, f"SHOW {name}") == "off"


def test_says_that_the_data_has_another_password(made: Path) -> None:
    server = EmbeddedPostgres(made / "postgres", password="another")
    with pytest.raises(UnavailableError, match="another superuser password") as caught:
        server.start()
    assert "remove the folder" in caught.value.hint


def test_a_faulty_start_quotes_the_log(stopped: EmbeddedPostgres, made: Path) -> None:
    settings = made / "postgres" / "postgresql.auto.conf"
    good = settings.read_text()
    settings.write_text("no_such_setting = 1\n")
    try:
        with pytest.raises(UnavailableError) as caught:
            stopped.start()
    finally:
        settings.write_text(good)
    assert 'unrecognized configuration parameter "no_such_setting"' in caught.value.message
    assert str(made / "postgres.log") in caught.value.hint
    stopped.start()  # the lock was given back


def test_a_pid_file_whose_number_somebody_else_has_now_is_no_problem(
    stopped: EmbeddedPostgres, made: Path
) -> None:
    data = made / "postgres"
    other = spawn(
        ["sleep", "60"],
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stop_signal=psutil.signal.SIGKILL,
        account=account_for(data),
    )
    (data / "postmaster.pid").write_text(f"{other.pid}\n{data}\n0\n5432\n\n\n  1 1\nready\n")
    try:
        stopped.start()
        assert other.poll() is None
    finally:
        other.kill()


def test_does_not_touch_a_folder_that_is_something_else(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    before = tmp_path.stat()
    with pytest.raises(UnavailableError, match="is not a Postgres data folder"):
        EmbeddedPostgres(tmp_path, password=PASSWORD).start()
    assert tmp_path.stat().st_mode == before.st_mode
    assert tmp_path.stat().st_uid == before.st_uid
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_changes_no_folder_above_and_shows_the_password_in_no_command_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Any] = []
    popen = subprocess.Popen.__init__

    def record(self: Any, *arguments: Any, **options: Any) -> None:
        started.append((arguments, options.get("env")))
        popen(self, *arguments, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", record)
    project = tmp_path / "project"
    project.mkdir(mode=0o700)
    (project / ".flagctl").mkdir(mode=0o700)
    above = [project / ".flagctl", *(project / ".flagctl").parents]
    before = [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in above]
    data = project / ".flagctl" / "postgres"
    with EmbeddedPostgres(data, password="needle-in-ps", durable=False):
        shown = [process.info["cmdline"] for process in psutil.process_iter(["cmdline"])]
    after = [(path.stat().st_mode, path.stat().st_uid, path.stat().st_gid) for path in above]
    assert after == before
    assert len(started) >= 2  # initdb and postgres
    assert "needle-in-ps" not in repr(started)
    assert "needle-in-ps" not in repr(shown)
