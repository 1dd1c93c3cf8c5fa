"""The embedded Valkey: who gets in, what others can see, what a restart keeps."""

import json
import os
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psutil  # type: ignore[import-untyped,unused-ignore]
import pytest
import redis

from core.cache.acl import READER, WRITER
from core.errors import UnavailableError
from flagctl.embedded.home import Home
from flagctl.embedded.process_table import is_alive
from flagctl.embedded.processes import spawn
from flagctl.embedded.valkey import EmbeddedValkey
from flagctl.embedded.waiting import until
from tests.support.redis_users import ADMINISTRATOR

PASSWORD = 'needle / @:%? "ü'


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder too deep for a socket, below one that only its owner may enter."""
    closed = tmp_path_factory.mktemp("closed")
    folder = closed / ("a" * 100) / ("b" * 100)
    folder.mkdir(parents=True)
    closed.chmod(0o700)
    return folder


@pytest.fixture(scope="module")
def valkey(deep: Path) -> Iterator[EmbeddedValkey]:
    """One server for all tests that leave it as it is."""
    with made(deep / "valkey") as server:
        yield server


@pytest.fixture
def own(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A server for one test, with a port."""
    with made(tmp_path / "valkey", port=free_port()) as server:
        yield server


def made(folder: Path, *, port: int | None = None) -> EmbeddedValkey:
    """With a user that may look at everything."""
    return EmbeddedValkey(folder, password=PASSWORD, port=port, more_users=[ADMINISTRATOR])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def ask(url: str, *command: str) -> Any:
    with redis.Redis.from_url(url, socket_timeout=10, decode_responses=True) as client:
        return client.execute_command(*command)  # type: ignore[no-untyped-call,unused-ignore]


def both(server: EmbeddedValkey) -> tuple[str, str]:
    """The addresses of its socket and of its port, for the administrator."""
    return server.url(ADMINISTRATOR.name), server.tcp_url(ADMINISTRATOR.name)


def socket_path(server: EmbeddedValkey) -> Path:
    return Path(urlsplit(server.url(READER)).path)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_is_version_9(valkey: EmbeddedValkey) -> None:
    with redis.Redis.from_url(valkey.url(ADMINISTRATOR.name)) as client:
        found: Any = client.info("server")
    assert found["valkey_version"].startswith("9.")


@pytest.mark.parametrize(
    "login",
    ["", ":wrong@", ":@", "default:wrong@", "somebody:wrong@", f"{READER}:wrong@", f"{WRITER}:@"],
)
def test_refuses_a_wrong_password_and_none(valkey: EmbeddedValkey, login: str) -> None:
    with pytest.raises((redis.AuthenticationError, redis.ResponseError)):
        ask(f"unix://{login}{socket_path(valkey)}", "PING")


def test_the_default_user_is_off_and_each_other_has_a_password_of_its_own(
    valkey: EmbeddedValkey,
) -> None:
    users = ask(valkey.url(ADMINISTRATOR.name), "ACL", "LIST")
    by_name = {line.split(" ")[1]: line.split(" ") for line in users}
    assert by_name.keys() == {"default", READER, WRITER, ADMINISTRATOR.name}
    assert {"off", "-@all"} <= set(by_name["default"])
    assert not [word for word in by_name["default"] if word.startswith(("~", "#", "+", "&"))]
    digests = [word for line in by_name.values() for word in line if word.startswith("#")]
    assert len(set(digests)) == 3


def test_listens_on_no_port(valkey: EmbeddedValkey) -> None:
    assert psutil.Process(valkey.pid).net_connections(kind="inet") == []
    with pytest.raises(RuntimeError, match="no port"):
        valkey.tcp_url(READER)


def test_folders_and_files_are_private(valkey: EmbeddedValkey, deep: Path) -> None:
    folders = [deep / "valkey", socket_path(valkey).parent, socket_path(valkey)]
    assert [oct(mode(path)) for path in folders] == ["0o700"] * 3
    assert [oct(mode(path)) for path in (valkey.log, deep / "valkey.lock")] == ["0o600"] * 2


def test_does_not_run_as_root(valkey: EmbeddedValkey) -> None:
    assert 0 not in psutil.Process(valkey.pid).uids()
    assert 0 not in psutil.Process(valkey.pid).gids()


def test_does_not_hear_a_ctrl_c_of_our_terminal(valkey: EmbeddedValkey) -> None:
    assert os.getsid(valkey.pid) != os.getsid(0)


def test_shows_the_password_in_no_command_line_environment_or_file(
    valkey: EmbeddedValkey, deep: Path
) -> None:
    process = psutil.Process(valkey.pid)
    files = [path.read_text() for path in (valkey.log, deep / "valkey.lock")]
    shown = [*process.cmdline(), *process.environ().values(), *files]
    for user in (READER, WRITER):
        password = urlsplit(valkey.url(user)).password
        assert password
        assert not [text for text in shown if password in text]
    assert not [text for text in shown if "needle" in text]
    assert list((deep / "valkey").iterdir()) == []


def test_a_second_one_on_the_same_folder_is_refused_and_harms_nobody(
    valkey: EmbeddedValkey, deep: Path
) -> None:
    with pytest.raises(UnavailableError, match="in use by another flagctl"):
        EmbeddedValkey(deep / "valkey", password=PASSWORD).start()
    assert ask(valkey.url(READER), "PING")


def test_changes_no_folder_above(tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir(mode=0o700)
    above = [project, *project.parents]
    before = [(path.stat().st_mode, path.stat().st_uid) for path in above]
    with EmbeddedValkey(project / "valkey", password=PASSWORD) as server:
        assert ask(server.url(READER), "PING")
    assert [(path.stat().st_mode, path.stat().st_uid) for path in above] == before


def test_with_a_port_it_listens_on_this_machine_only(own: EmbeddedValkey) -> None:
    assert ask(own.tcp_url(READER), "PING")
    listening = {
        found.laddr.ip
        for found in psutil.Process(own.pid).net_connections(kind="inet")
        if found.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}
    with pytest.raises((redis.AuthenticationError, redis.ResponseError)):
        ask(f"redis://127.0.0.1:{urlsplit(own.tcp_url(READER)).port}", "PING")


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_comes_back_at_the_same_addresses_and_empty(own: EmbeddedValkey, end: str) -> None:
    addresses, pid = both(own), own.pid
    ask(addresses[0], "SET", "key", "value")
    getattr(own, end)()
    assert not is_alive(pid)
    for address in addresses:
        with pytest.raises(redis.ConnectionError):
            ask(address, "PING")
    own.start()
    assert both(own) == addresses
    for address in addresses:
        assert ask(address, "DBSIZE") == 0


def test_stop_removes_its_sockets(own: EmbeddedValkey) -> None:
    folder = socket_path(own).parent
    own.stop()
    assert not folder.exists()
    own.stop()  # once more does no harm


def test_suspends_and_resumes(own: EmbeddedValkey) -> None:
    process = psutil.Process(own.pid)
    own.suspend()
    assert until(lambda: bool(process.status() == psutil.STATUS_STOPPED), timeout=10)
    own.resume()
    assert ask(own.url(READER), "PING")
    own.suspend()
    own.stop()
    assert not is_alive(process.pid)


def test_a_faulty_start_quotes_the_log(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        taken = int(listener.getsockname()[1])
        server = EmbeddedValkey(tmp_path / "valkey", password=PASSWORD, port=taken)
        with pytest.raises(UnavailableError) as caught:
            server.start()
    assert "Address already in use" in caught.value.message
    assert str(tmp_path / "valkey.log") in caught.value.hint


def test_a_remembered_number_that_somebody_else_has_now_is_left_alone(tmp_path: Path) -> None:
    other = spawn(
        ["sleep", "60"],
        env=dict(os.environ),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stop_signal=psutil.signal.SIGKILL,
    )
    (tmp_path / "valkey.lock").write_text(json.dumps({"runtime": "/etc", "pid": other.pid}))
    try:
        with EmbeddedValkey(tmp_path / "valkey", password=PASSWORD) as server:
            assert ask(server.url(READER), "PING")
            assert other.poll() is None
    finally:
        other.kill()
    assert Path("/etc").is_dir()


def test_a_temporary_folder_that_no_socket_fits_in_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("x" * 80, "with space", "with,comma"):
        (tmp_path / name).mkdir(mode=0o755)
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path / name))
        home = Home(tmp_path / "valkey")
        home.claim()
        home.open_runtime()
        assert home.runtime.parent == Path("/tmp")
        home.close()


@pytest.mark.parametrize("content", ["", "[]", "{", '{"pid": "x", "runtime": 3}', "\x00"])
def test_a_spoilt_lock_file_is_no_problem(tmp_path: Path, content: str) -> None:
    (tmp_path / "valkey.lock").write_text(content)
    home = Home(tmp_path / "valkey")
    home.claim()
    assert home.last_pid() is None
    home.open_runtime()
    home.close()
