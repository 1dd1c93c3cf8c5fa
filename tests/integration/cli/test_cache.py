"""flagctl cache acl."""

import hashlib
import json
import stat
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner

from core.cache import acl
from core.settings import Secret
from flagctl.main import app
from tests.support.command_lines import CommandLine
from tests.support.installations import Installation
from tests.support.redis_users import send

LONG = {"flagctl_writer": "first-needle-of-24-bytes", "flagctl_reader": "second-needle-of-24-bytes"}


def lines(passwords: dict[str, str]) -> str:
    return "".join(f"{name} {password}\n" for name, password in passwords.items())


def test_it_needs_no_settings_at_all() -> None:
    ran = CliRunner().invoke(app, ["cache", "acl"], env={})
    assert ran.exit_code == 0
    assert ran.stdout == f"{acl.writer().command()}\n{acl.reader().command()}\n"
    assert ran.stderr == (
        "a new user of these has no password yet, and lets nobody in: see --passwords\n"
    )


def test_names_database_and_aclfile(stable: CommandLine) -> None:
    ran = stable.run(
        *("cache", "acl", "--writer", "ci-1", "--reader", "web_1", "--database", "2", "--aclfile")
    )
    first, second = ran.stdout.splitlines()
    assert first == acl.writer("ci-1", database=2).line()
    assert second == acl.reader("web_1", database=2).line()


def test_as_a_document(stable: CommandLine) -> None:
    users = stable.json("cache", "acl")["users"]
    assert [user["name"] for user in users] == ["flagctl_writer", "flagctl_reader"]
    for user in users:
        assert user["command"] == f"ACL SETUSER {user['name']} {' '.join(user['rules'])}"
        assert "~flagctl:{*}:*" in user["rules"]


def test_a_file_with_passwords_is_made_once(stable: CommandLine, tmp_path: Path) -> None:
    path = tmp_path / "redis.passwords"
    ran = stable.run("cache", "acl", "--passwords", path)
    assert ran.stderr == f"made {path} with a password for each; Redis gets their digests only\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    known = dict(line.split(" ") for line in path.read_text().splitlines())
    assert known.keys() == {"flagctl_writer", "flagctl_reader"}
    assert min(map(len, known.values())) >= 32
    assert len(set(known.values())) == 2
    for line, password in zip(ran.stdout.splitlines(), known.values(), strict=True):
        assert line.endswith(f" resetpass #{hashlib.sha256(password.encode()).hexdigest()}")
        assert password not in ran.stdout + ran.stderr
    assert stable.ok("cache", "acl", "--passwords", path) == ran.stdout


def test_passwords_from_stdin(stable: CommandLine) -> None:
    ran = stable.run("cache", "acl", "--passwords", "-", stdin=lines(LONG))
    assert (ran.code, ran.stderr) == (0, "")
    assert "needle" not in ran.stdout
    assert hashlib.sha256(LONG["flagctl_reader"].encode()).hexdigest() in ran.stdout
    users = json.loads(
        stable.run("cache", "acl", "--passwords", "-", "-o", "json", stdin=lines(LONG)).stdout
    )["users"]
    assert [user["rules"][-2] for user in users] == ["resetpass"] * 2


@pytest.mark.parametrize(
    ("passwords", "said"),
    [
        ({}, "the password of flagctl_writer in stdin is missing"),
        (LONG | {"flagctl_reader": "needle"}, "flagctl_reader in stdin is too short"),
        (LONG | {"flagctl_reader": "needle\x07" * 4}, "flagctl_reader in stdin is too short, or"),
        (dict.fromkeys(LONG, "the-same-needle-twice"), "both passwords in stdin are the same"),
    ],
)
def test_passwords_that_are_refused(
    stable: CommandLine, passwords: dict[str, str], said: str
) -> None:
    ran = stable.run("cache", "acl", "--passwords", "-", stdin=lines(passwords))
    assert (ran.code, ran.stdout) == (2, "")
    assert said in ran.stderr
    assert "needle" not in ran.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--writer", "a b"], "error: 'a b' is no name of a user\n"),
        (["--writer", "x >y"], "is no name of a user"),
        (["--reader", ""], "error: '' is no name of a user\n"),
        (["--reader", "default"], "error: the default user is everybody's\n"),
        (["--reader", "flagctl_writer"], "error: writer and reader are two users\n"),
        (["--passwords", "/nonexistent/file"], "error: /nonexistent/file cannot be used: "),
        (["--passwords", "/"], "error: / cannot be used: "),
    ],
)
def test_what_is_refused(stable: CommandLine, arguments: list[str], said: str) -> None:
    assert said in stable.fails(2, "cache", "acl", *arguments)


def test_what_it_prints_makes_users_that_can_log_in(
    stable: CommandLine, installation: Installation
) -> None:
    """Pasted once, and once more without passwords: those that are there stay."""
    if not installation.redis.has_users:
        pytest.skip("this Redis has no users")
    names = [f"{installation.name}_w", f"{installation.name}_r"]
    options = ["--writer", names[0], "--reader", names[1]]
    passwords = dict(zip(names, LONG.values(), strict=True))
    first = stable.run("cache", "acl", *options, "--passwords", "-", stdin=lines(passwords))
    again = stable.run("cache", "acl", *options)
    own = installation.redis.reader.reveal()
    place = own.rpartition("@")[2]
    with redis.Redis.from_url(installation.redis.administrator.reveal()) as administrator:
        try:
            for command in (first.stdout + again.stdout).splitlines():
                assert send(administrator, command) == b"OK"
            url = Secret(f"{own.partition('://')[0]}://{names[1]}:{passwords[names[1]]}@{place}")
            with redis.Redis.from_url(url.reveal(), driver_info=None) as reader:
                assert reader.ping()
        finally:
            send(administrator, f"ACL DELUSER {' '.join(names)}")
