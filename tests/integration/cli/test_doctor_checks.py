"""flagctl doctor: all well in a fresh installation, and a line for each thing that is not."""

import threading
from datetime import timedelta
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingTCPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from redis import Redis

from core import clock
from core.cache import acl
from core.cache.keys import snapshot_key
from core.settings import Secret, Settings
from flagctl.doctor import caches, postgres
from tests.support.certificates import certificates
from tests.support.command_lines import CommandLine
from tests.support.redis_users import as_user, send
from tests.support.tls_proxy import tls_proxy


def wrong(cli: CommandLine, **settings: str) -> dict[str, str]:
    """What is wrong, by the name of the check; the exit code agrees."""
    ran = cli.run("doctor", "-o", "json", **settings)
    checks = ran.json()
    assert all(list(check) == ["check", "verdict", "what", "mend"] for check in checks)
    found = {check["check"]: check for check in checks if check["verdict"] == "wrong"}
    assert all(check["mend"] for check in found.values())
    assert ran.code == (8 if found else 0)
    assert (ran.error()["code"] == "check_failed") if found else not ran.stderr
    return {name: check["what"] for name, check in found.items()}


def expected(cli: CommandLine) -> set[str]:
    """What is wrong before anything is: on a Redis where there are no users to make."""
    return set() if cli.installation.redis.has_users else {"redis, rights"}


def test_a_fresh_installation_is_well(stable: CommandLine) -> None:
    assert set(wrong(stable)) == expected(stable)
    ran = stable.run("doctor")
    lines = [line.split(": ")[0].split(maxsplit=1) for line in ran.stdout.splitlines()]
    assert [check for _, check in lines] == [
        *("settings", "database_url", "database_url, login", "clock", "schema", "privileges"),
        *("logs", "reader_database_url", "reader_database_url, login", "reader_database_url, logs"),
        *(
            "owner_database_url",
            "owner_database_url, login",
            "token",
            "redis",
            "redis, rights",
            "cache",
        ),
    ]


def test_what_is_not_set_is_skipped(stable: CommandLine) -> None:
    names = ("OWNER_DATABASE_URL", "READER_DATABASE_URL", "REDIS_URL")
    settings = {f"FLAGCTL_{name}": "" for name in names}
    assert wrong(stable, **settings) == {}
    checks = stable.json("doctor", **settings)
    skipped = {check["check"] for check in checks if check["verdict"] == "skipped"}
    assert skipped == {"owner_database_url", "reader_database_url", "redis"}


@pytest.mark.parametrize(
    ("change", "check", "what"),
    [
        ({"FLAGCTL_OUTPUT": "json", "FLAGCTL_LISTEN": "x"}, "settings", "not valid: listen in"),
        ({"FLAGCTL_CONTEXT": "nope"}, "settings", "there is no context 'nope'"),
        ({"FLAGCTL_TOKEN": ""}, "token", "there is no token"),
        ({"FLAGCTL_TOKEN": "nonsense"}, "token", "token"),
        ({"FLAGCTL_DATABASE_URL": ""}, "token", ""),
        (
            {"FLAGCTL_READER_DATABASE_URL": "postgresql://ann:secret77@127.0.0.1:1/x"},
            "reader_database_url",
            "Postgres is unavailable",
        ),
        ({"FLAGCTL_REDIS_URL": "redis://127.0.0.1:1/0"}, "redis", "Redis cannot be reached"),
        ({"FLAGCTL_ROLE_PREFIX": "other"}, "privileges", "not as needed"),
    ],
)
def test_what_is_wrong_with_the_settings(
    stable: CommandLine, change: dict[str, str], check: str, what: str
) -> None:
    found = wrong(stable, **change)
    if "FLAGCTL_DATABASE_URL" in change:
        assert set(found) == expected(stable)
    else:
        assert what in found[check]


def test_a_login_of_the_wrong_kind(stable: CommandLine) -> None:
    made = stable.installation
    found = wrong(stable, FLAGCTL_READER_DATABASE_URL=made.admin_url.reveal())
    assert "is not in the group" in found["reader_database_url, login"]
    found = wrong(stable, FLAGCTL_DATABASE_URL=made.superuser_url.reveal())
    assert "is a superuser" in found["database_url, login"]


def test_a_clock_that_is_wrong(stable: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    for minutes, said in ((1, "60 s behind this machine"), (-1, "60 s ahead of this machine")):
        with monkeypatch.context() as patch:
            now = clock.now
            patch.setattr(clock, "now", lambda m=minutes, now=now: now() + timedelta(minutes=m))
            assert wrong(stable)["clock"] == f"Postgres is {said}"


def test_an_address_that_is_not_this_machines(
    stable: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    with stable.installation.connect("admin") as connection:
        if connection.pgconn.ssl_in_use:
            pytest.skip("this Postgres is reached over TLS")
    monkeypatch.setattr(postgres, "is_local", lambda _host: False)
    found = wrong(stable, FLAGCTL_LISTEN_DATABASE_URL=stable.environ["FLAGCTL_DATABASE_URL"])
    assert found["database_url"].endswith("over the network without TLS")
    assert "is not in the group" in found["listen_database_url, login"]


def test_postgres_over_tls(
    stable: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = stable.installation
    socket = Path(at_home(made.admin_url.reveal()), ".s.PGSQL.5432")
    if not socket.is_socket():
        pytest.skip("this Postgres is not the embedded one")
    files = certificates(tmp_path)
    monkeypatch.setattr(postgres, "is_local", lambda _host: False)
    with tls_proxy(socket, files.server) as port:
        address = made.admin_url.reveal().partition("?")[0].replace("@/", f"@127.0.0.1:{port}/")
        verified = f"{address}?sslmode=verify-full&sslrootcert={files.authority}"
        alone = {"READER_DATABASE_URL": "", "OWNER_DATABASE_URL": "", "REDIS_URL": ""}
        others = {f"FLAGCTL_{name}": value for name, value in alone.items()}
        checks = stable.json("doctor", FLAGCTL_DATABASE_URL=verified, **others)
        (found,) = [check["what"] for check in checks if check["check"] == "database_url"]
        assert found.endswith(", over TLS")
        trusting = wrong(stable, FLAGCTL_DATABASE_URL=f"{address}?sslmode=require", **others)
        assert trusting["database_url"].endswith("over TLS, but whose it is is not verified")
        foreign = verified.replace(str(files.authority), str(files.server))
        said = wrong(stable, FLAGCTL_DATABASE_URL=foreign, **others)["database_url"]
        assert "certificate verify failed" in said


def at_home(address: str) -> str:
    """The folder of its server's socket."""
    return parse_qs(urlsplit(address).query).get("host", [""])[0]


def test_a_schema_of_another_release(cli: CommandLine) -> None:
    cli.installation.run("UPDATE flagctl.schema_version SET version_num = '0001'")
    assert "at 0001, while this release is at " in wrong(cli)["schema"]


def test_a_log_that_would_print_tokens(stable: CommandLine) -> None:
    made = stable.installation
    logins = [f"{made.prefix}_{group}_login" for group in ("admin", "reader")]
    for login in logins:
        made.run(f"ALTER ROLE {login} SET log_statement = 'all'")
    try:
        found = wrong(stable)
    finally:
        for login in logins:
            made.run(f"ALTER ROLE {login} RESET log_statement")
    for check in ("logs", "reader_database_url, logs"):
        assert found[check].startswith("log_statement = all prints the parameters of statements")
    assert "has the setting log_statement=all" in found["privileges"]


def test_a_user_of_redis_who_may_too_much_or_too_little(stable: CommandLine) -> None:
    redis = stable.installation.redis
    if not redis.has_users:
        pytest.skip("this Redis has no users")
    found = wrong(stable, FLAGCTL_REDIS_URL=redis.administrator.reveal())
    assert found == {"redis, rights": "this user may do more than is needed"}
    with Redis.from_url(redis.administrator.reveal()) as administrator:
        for name, rules, said in (
            ("flagctl_no_del", ("-del",), "this user lacks a right"),
            ("flagctl_all_keys", ("~*",), "this user may do more than is needed"),
            ("flagctl_all_channels", ("&*",), "this user may do more than is needed"),
        ):
            user = acl.User(name, (*acl.writer(name).rules, *rules, "resetpass", ">open"))
            send(administrator, user.command())
            try:
                url = as_user(redis.writer.reveal(), name, "open")
                assert wrong(stable, FLAGCTL_REDIS_URL=url) == {"redis, rights": said}
            finally:
                send(administrator, f"ACL DELUSER {name}")


def test_a_redis_from_before_there_were_users() -> None:
    """Every connection begins with HELLO, which it does not know."""

    class Old(StreamRequestHandler):
        def handle(self) -> None:
            while self.rfile.readline().startswith(b"*"):
                for _ in range(4):
                    self.rfile.readline()
                self.wfile.write(b"-ERR unknown command `HELLO`, with args beginning with: \r\n")

    with ThreadingTCPServer(("127.0.0.1", 0), Old) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        url = Secret(f"redis://127.0.0.1:{server.server_address[1]}/0")
        (check,) = caches.examine(Settings(redis_url=url))
        server.shutdown()
        thread.join()
    assert (check.verdict, check.what) == ("wrong", "it is older than Redis 6")


@pytest.mark.parametrize(("revision", "said"), [(0, "older than Postgres"), (999, "newer than")])
def test_a_copy_that_is_not_postgres(cli: CommandLine, revision: int, said: str) -> None:
    made = cli.installation
    key = snapshot_key(made.environment_id("prod"))
    epoch = made.ask("SELECT flagctl.epoch()")[0][0]
    fields: dict[Any, Any] = {"epoch": epoch, "revision": revision, "stamp": "x"}
    with Redis.from_url(made.redis.administrator.reveal()) as redis:
        redis.hset(key, mapping=fields)
        assert said in wrong(cli)["cache"]
        redis.hset(key, "epoch", "another")
        assert "cache" not in wrong(cli)
        redis.delete(key)
        redis.set(key, "no hash")
        assert "cache" not in wrong(cli)
        redis.delete(key)


def test_a_settings_file_that_others_may_write(stable: CommandLine, home: Path) -> None:
    folder = home / "work" / ".flagctl"
    folder.mkdir(mode=0o700)
    (folder / "config.toml").write_text("env = 'dev'")
    (folder / "config.toml").chmod(0o666)
    ran = stable.run("doctor")
    assert ran.code == 8
    assert ran.stdout.startswith("wrong    settings: ")
    assert "; `chmod go-w` it, if it is your own\n" in ran.stdout
