"""What the command line does without Redis, without Postgres, and when either hangs."""

import socket
import time
from collections.abc import Iterator

import pytest
from redis import Redis

from core.notifications import CHANNEL
from tests.support.command_lines import CommandLine


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_write_tells_redis(cli: CommandLine) -> None:
    with Redis.from_url(cli.installation.redis.reader.reveal()) as redis:
        listener = redis.pubsub()
        listener.subscribe(CHANNEL)
        listener.get_message(timeout=5)
        cli.ok("create", "f")
        ids = {cli.installation.environment_id(name) for name in ("dev", "staging", "prod")}
        told: set[str] = set()
        deadline = time.monotonic() + 5
        while not ids <= told and time.monotonic() < deadline:
            message = listener.get_message(timeout=0.1)
            if message and message["type"] == "message":
                told.add(message["data"].decode().split()[0])
        listener.close()
    assert ids <= told


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("redis://:topsecret@127.0.0.1:1/0", "Redis cannot be reached"),
        ("unix:///nonexistent/redis.sock", "Redis cannot be reached"),
        ("redis://:topsecret@nowhere.invalid:6379", "Redis "),
        ("redis://:topsecret@127.0.0.1:port", "the address of Redis cannot be read"),
    ],
)
def test_redis_is_down(cli: CommandLine, address: str, why: str) -> None:
    ran = cli.run("create", "f", FLAGCTL_REDIS_URL=address)
    assert ran.code == 0
    assert ran.stdout.startswith("created f")
    start, end = "the change is committed, but Redis could not be told: ", "from Postgres\n"
    assert ran.stderr.startswith(f"warning: {start}{why}")
    assert ran.stderr.endswith(end)
    assert ran.stderr.count("\n") == 1
    assert [flag["key"] for flag in cli.json("list")] == ["f"]
    ran = cli.run("set", "f", "--env", "dev", "-o", "json", FLAGCTL_REDIS_URL=address)
    assert ran.json()["changed"]


def test_redis_wants_another_password(cli: CommandLine) -> None:
    scheme, _, rest = cli.installation.redis.writer.reveal().partition("://")
    wrong = f"{scheme}://somebody:wrongsecret@{rest.rpartition('@')[2]}"
    ran = cli.run("create", "f", FLAGCTL_REDIS_URL=wrong)
    assert ran.code == 0
    assert "Redis refuses the password of its address" in ran.stderr
    assert "wrongsecret" not in ran.stderr


def test_a_redis_user_who_may_not(cli: CommandLine) -> None:
    """The reader's address is not for writing."""
    if not cli.installation.redis.has_users:
        pytest.skip("this Redis has no users")
    ran = cli.run("create", "f", FLAGCTL_REDIS_URL=cli.installation.redis.reader.reveal())
    assert ran.code == 0
    assert "this user of Redis lacks a right; `flagctl cache acl` prints them" in ran.stderr


def test_redis_hangs(cli: CommandLine, deaf: int) -> None:
    cli.ok("create", "f")
    ran = cli.run(
        "set", "f", "--env", "prod", FLAGCTL_REDIS_URL=f"redis://:topsecret@127.0.0.1:{deaf}"
    )
    assert ran.code == 0
    assert "Redis did not answer" in ran.stderr


def test_without_redis_nothing_is_said(cli: CommandLine) -> None:
    assert cli.ok("create", "f", FLAGCTL_REDIS_URL="")


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ann:topsecret@127.0.0.1:1/flagctl",
        "postgresql://ann:topsecret@/flagctl?host=/nonexistent",
        "postgresql://ann:topsecret@127.0.0.1:1,127.0.0.1:2/flagctl",
    ],
)
def test_postgres_is_down(stable: CommandLine, address: str) -> None:
    for command in (["list"], ["set", "new_checkout", "--env", "prod"], ["whoami", "-v"]):
        said = stable.fails(7, *command, FLAGCTL_DATABASE_URL=address)
        assert said.startswith("error: Postgres is unavailable: ")
    ran = stable.run("list", "-o", "json", FLAGCTL_DATABASE_URL=address)
    assert ran.error()["code"] == "unavailable"


def test_a_wrong_password(stable: CommandLine) -> None:
    own = stable.installation.admin_url.reveal()
    password = own.partition("://")[2].partition("@")[0].partition(":")[2]
    said = stable.fails(7, "list", FLAGCTL_DATABASE_URL=own.replace(password, "wrongsecret"))
    assert "password authentication failed" in said
    assert "hint: check user and password of the database address" in said


def test_a_database_that_is_none(stable: CommandLine) -> None:
    own = stable.installation.admin_url.reveal()
    said = stable.fails(
        7, "list", FLAGCTL_DATABASE_URL=own.replace(stable.installation.name, "nowhere")
    )
    assert "hint: create the database, or name another in the database address" in said


@pytest.mark.parametrize("address", ["postgresql://ann:topsecret@host:port:x/db?nope=1"])
def test_an_address_that_is_none(stable: CommandLine, address: str) -> None:
    said = stable.fails(2, "list", FLAGCTL_DATABASE_URL=address)
    assert said.startswith("error: the database address cannot be read\n")


def test_someone_else_holds_the_lock(cli: CommandLine) -> None:
    cli.ok("create", "f")
    with cli.installation.connect() as other, other.transaction():
        other.execute("SELECT FROM flagctl.organizations FOR UPDATE")
        said = cli.fails(6, "set", "f", "--env", "prod")
    assert said.startswith("error: another change holds the lock: ")
    assert said.endswith("hint: try again when it is done\n")
