"""The two users of Redis, with their own credentials: what each may do, and that it is all.

That it is enough, the other tests show: the command line and the read server use these users.
"""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from core.cache import acl
from core.cache.keys import PATTERN, READERS, snapshot_key
from core.notifications import CHANNEL
from tests.support import readers
from tests.support.command_lines import CommandLine
from tests.support.installations import Installation
from tests.support.readers import switch, wait_for
from tests.support.redis_users import send
from tests.support.servers import Servers
from tests.support.waiting import eventually

OWN = snapshot_key("e" * 16)
FOREIGN = ("x", "flagctl", "flagctl:x", "flagctl:{x}", f"x{OWN}", "{flagctl:}:x")
USERS = {"writer": acl.writer(), "reader": acl.reader()}


@pytest.fixture
def administrator(servers: Servers) -> Iterator[Any]:
    if not servers.redis.has_users:
        pytest.skip("this Redis has no users")
    with redis.Redis.from_url(servers.redis.administrator.reveal()) as client:
        yield client


@pytest.fixture(params=USERS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def client(servers: Servers, administrator: Any, name: str) -> Iterator[Any]:
    """Redis as the user has it."""
    url = getattr(servers.redis, name).reveal()
    with redis.Redis.from_url(url, driver_info=None) as made:
        yield made


def allowed(name: str) -> set[str]:
    """The commands of a user; none of them is about the server or about somebody else."""
    return {rule[1:].replace("|", " ") for rule in USERS[name].rules if rule.startswith("+")}


def known_commands(administrator: Any) -> Iterator[tuple[str, int]]:
    """Every command and subcommand of this server with the fewest words it takes.

    Without those that Redis lets everybody do, also before he logs in.
    """
    for entry in administrator.execute_command("COMMAND").values():
        if "no_auth" in entry["flags"]:
            continue
        subcommands = entry.get("subcommands") or ()
        if not subcommands:
            yield entry["name"], abs(entry["arity"])
        for inner in subcommands:
            yield inner[0].decode().replace("|", " "), abs(inner[1])


def is_refused(client: Any, *words: str | bytes) -> bool:
    try:
        client.execute_command(*words)
    except redis.exceptions.NoPermissionError:
        return True
    except redis.ResponseError as error:
        # Where DEBUG and MODULE are switched off, they are so for everybody, before any rule; and
        # to EXEC, 6.2 says the same as an EXECABORT.
        return "command not allowed" in str(error) or "no permissions" in str(error)
    return False


def test_no_other_command_of_this_server(administrator: Any, client: Any, name: str) -> None:
    """All there are, so that a new release of Redis cannot bring one along."""
    commands = dict(known_commands(administrator))
    assert len(commands) > 200
    done = []
    for command, words in commands.items():
        typed = command.split(" ")
        typed += ["x"] * (words - len(typed))
        if command not in allowed(name) and not is_refused(client, *typed):
            done.append(command)
    assert done == []


@pytest.mark.parametrize(
    "command",
    [
        ("KEYS", "*"),
        ("SCAN", "0"),
        ("DBSIZE",),
        ("FLUSHALL",),
        ("FLUSHDB", "ASYNC"),
        ("CONFIG", "GET", "requirepass"),
        ("CONFIG", "SET", "requirepass", ""),
        ("DEBUG", "SLEEP", "0"),
        ("MONITOR",),
        ("ACL", "LIST"),
        ("ACL", "WHOAMI"),
        ("ACL", "SETUSER", "x", "on", "nopass", "+@all"),
        ("SCRIPT", "FLUSH"),
        ("SCRIPT", "LOAD", "return 1"),
        ("CLIENT", "LIST"),
        ("CLIENT", "KILL", "TYPE", "pubsub"),
        ("CLIENT", "PAUSE", "0"),
        ("SHUTDOWN", "NOSAVE"),
        ("REPLICAOF", "NO", "ONE"),
        ("MODULE", "LIST"),
        ("SAVE",),
        ("SWAPDB", "0", "1"),
        ("PSUBSCRIBE", "*"),
        ("PSUBSCRIBE", CHANNEL),
        ("SUBSCRIBE", "another"),
        ("SUBSCRIBE", CHANNEL, "another"),
        ("PUBSUB", "CHANNELS"),
        ("PUBLISH", "another", "x"),
        ("GETDEL", OWN),
        ("SETNX", OWN, "x"),
        ("DUMP", OWN),
        ("RENAME", OWN, f"{OWN}2"),
        ("PERSIST", OWN),
    ],
    ids=" ".join,
)
def test_nothing_of_an_attack(client: Any, command: tuple[str, ...]) -> None:
    assert is_refused(client, *command)


@pytest.mark.parametrize("key", FOREIGN)
def test_no_key_of_others(administrator: Any, client: Any, key: str) -> None:
    for command in (
        ("EVAL", "return 1", "1", key),
        ("EVAL", "return 1", "2", OWN, key),
        ("TYPE", key),
        ("HMGET", key, "data"),
        ("HSET", key, "data", "x"),
        ("DEL", OWN, key),
        ("EXPIRE", key, "1"),
    ):
        assert is_refused(client, *command), command
    assert not administrator.exists(key)


@pytest.mark.parametrize(
    "script",
    [
        "return redis.call('GETDEL', KEYS[1])",
        "return redis.call('KEYS', '*')",
        "return redis.call('FLUSHALL')",
        "return redis.call('HSET', 'x', 'data', 'x')",
        "return redis.call('DEL', 'x')",
        "return redis.call('PUBLISH', 'another', 'x')",
        "return redis.call('CONFIG', 'GET', '*')",
    ],
)
def test_a_script_may_do_no_more(administrator: Any, client: Any, script: str) -> None:
    entry = snapshot_key(secrets.token_hex(8))  # this run's alone
    administrator.hset(entry, "data", "kept")
    with pytest.raises(redis.ResponseError):
        client.execute_command("EVAL", script, "1", entry)
    assert administrator.hget(entry, "data") == b"kept"
    assert not administrator.exists("x")
    administrator.delete(entry)


@pytest.mark.parametrize("name", ["writer"], indirect=True)
def test_the_writer_does_not_listen(client: Any) -> None:
    for command in (
        *(("SUBSCRIBE", CHANNEL), ("PING",), ("CLIENT", "SETNAME", "x")),
        *(("GET", OWN), ("SET", OWN, "x"), ("ZADD", READERS, "1", "x"), ("TIME",)),
        ("HINCRBY", OWN, "x", "1"),
    ):
        assert is_refused(client, *command), command


@pytest.mark.parametrize("name", ["reader"], indirect=True)
def test_the_reader_does_not_publish(client: Any) -> None:
    assert is_refused(client, "PUBLISH", CHANNEL, "x")
    with pytest.raises(redis.ResponseError):
        client.execute_command("EVAL", f"return redis.call('PUBLISH', '{CHANNEL}', 'x')", "1", OWN)
    for command in (
        *(("CLIENT", "GETNAME"), ("CLIENT", "ID"), ("ZREVRANGE", READERS, "0", "1")),
        ("HGETALL", OWN),
    ):
        assert is_refused(client, *command), command


@pytest.mark.usefixtures("administrator")
def test_a_read_server_with_the_writers_address_reads_on_and_says_why(
    installation: Installation, tmp_path: Path
) -> None:
    prod = readers.fill(installation)
    settings = readers.settings_for(installation, redis=False)
    settings["FLAGCTL_REDIS_URL"] = installation.redis.writer.reveal()
    with readers.running(tmp_path, settings) as reader:
        answer = reader.get("/v1/flags", prod.server_key)
        assert (answer.status, answer.headers["x-cache"]) == (200, "database")
        eventually(lambda: "NoPermissionError" in reader.log.read_text(), "it says why")
        wait_for(reader, prod.server_key, switch(installation, "off"), within=10)


def test_rights_of_an_earlier_release(
    servers: Servers, administrator: Any, installation: Installation, tmp_path: Path
) -> None:
    """A read server goes on without leases and receipts, and says so once; commands say it too."""
    prod = readers.fill(installation)
    earlier = (
        *("eval", "type", "del", "hmget", "hset", "expire", "publish"),
        *("subscribe", "ping", "client|setname"),
    )
    rules = ("on", f"~{PATTERN}", "resetchannels", f"&{CHANNEL}", "-@all")
    user = acl.User(f"u{secrets.token_hex(4)}", (*rules, *(f"+{c}" for c in earlier)))
    send(administrator, user.with_password("a needle of a password").command())
    scheme, _, rest = servers.redis.reader.reveal().partition("://")
    url = f"{scheme}://{user.name}:a%20needle%20of%20a%20password@{rest.rpartition('@')[2]}"
    settings = readers.settings_for(installation) | {"FLAGCTL_REDIS_URL": url}
    try:
        with readers.running(tmp_path, settings) as reader:
            assert reader.get("/v1/flags", prod.server_key).status == 200
            for state in ("off", "on"):
                wait_for(reader, prod.server_key, switch(installation, state), within=10)
            said = "this user of Redis lacks a right"
            eventually(lambda: said in reader.log.read_text(), "it says so")
            assert reader.get("/readyz").json()["redis"] == "up"
            failures = reader.metric("flagctl_redis_failures_total")
            eventually(lambda: reader.metric("flagctl_redis_failures_total") > failures, "again")
            assert reader.log.read_text().count(said) == 1
        administrator.zadd(READERS, {"f" * 16: 1})
        environ = {**installation.environ(), "FLAGCTL_REDIS_URL": url}
        ran = CommandLine(installation, environ).run("readers")
        assert (ran.code, "lacks a right; `flagctl cache acl`" in ran.stderr) == (7, True)
    finally:
        send(administrator, f"ACL DELUSER {user.name}")
