"""PgBouncer in transaction mode: what works through it, and what says that it does not."""

from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.alchemy import connect
from core.auth.actor import Role
from tests.poolers import pgbouncer
from tests.poolers.pgbouncer import Pooled
from tests.support import raw_sql
from tests.support.command_lines import CommandLine
from tests.support.readers import Reader, fill, running, settings_for, switch, wait_for
from tests.support.waiting import eventually

pytestmark = pytest.mark.skipif(
    pgbouncer.program() is None, reason="PgBouncer is missing: `make test-pooler` installs it"
)


def client(pooled: Pooled) -> "psycopg.Connection[Any]":
    return psycopg.connect(pooled.through.admin_url.reveal(), prepare_threshold=None)


def backend(connection: "psycopg.Connection[Any]") -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row is not None
    return int(row[0])


def test_writes_reads_and_the_log(cli: CommandLine, pooled: Pooled) -> None:
    cli.ok("create", "new_checkout", "--reason", "launch")
    cli.ok("set", "new_checkout", "--env", "prod")
    cli.ok("config", "define", "timeout", "--type", "integer")
    cli.ok("config", "set", "timeout", "30", "--env", "prod")
    assert cli.value("timeout") == 30
    editor = cli.as_(pooled.direct.token_for(Role.EDITOR, "dev", email="ed@example.com"))
    editor.ok("set", "new_checkout", "--env", "dev")
    assert "Postgres" not in editor.fails(4, "set", "new_checkout", "off", "--env", "prod")
    last, denied = cli.json("audit", "list", "--limit", 2)[::-1]
    assert (last["actor_name"], last["action"]) == ("ed@example.com", "update")
    assert (denied["actor_name"], denied["action"]) == ("ed@example.com", "denied")
    assert cli.json("whoami")["name"] == "admin@example.com"


def test_what_the_owner_does(cli: CommandLine, pooled: Pooled) -> None:
    """But for migrations: they keep a lock and a role for as long as the connection lives."""
    owner = {"FLAGCTL_OWNER_DATABASE_URL": pooled.through.owner_url.reveal()}
    cli.ok("db", "new-epoch", **owner)
    assert len(cli.json("signing-key", "list", **owner)) == 1
    assert [org["key"] for org in cli.json("org", "list", "--as-owner", **owner)] == ["default"]
    said = cli.fails(2, "db", "upgrade", **owner)
    assert said.startswith("error: the owner's address leads through a pooler")
    with psycopg.connect(pooled.through.owner_url.reveal(), autocommit=True) as connection:
        row = connection.execute("SELECT current_user = session_user").fetchone()
    assert row == (True,), "a role was left on the pooled connection"
    cli.ok("db", "upgrade")


def test_a_revoked_token(cli: CommandLine, pooled: Pooled) -> None:
    editor = cli.as_(pooled.direct.token_for(Role.EDITOR, email="ed@example.com"))
    editor.ok("create", "a")
    (token,) = (t for t in cli.json("token", "list") if t["email"] == "ed@example.com")
    cli.ok("token", "revoke", token["id"])
    assert "revoked" in editor.fails(3, "create", "b")


def test_two_on_one_connection_do_not_act_for_each_other(pooled: Pooled) -> None:
    one = pooled.direct.token_for(Role.ADMIN, email="one@example.com")
    with client(pooled) as first, client(pooled) as second:
        raw_sql.begin(first, one)
        shared = backend(first)
        count = "SELECT count(*) FROM flagctl.environments"
        assert first.execute(count.encode()).fetchone() == (3,)
        row = first.execute("SELECT current_setting('flagctl.change')").fetchone()
        assert row is not None
        first.commit()
        # The same server connection, and nobody acts on it, under no name of somebody's.
        assert backend(second) == shared
        assert second.execute(count.encode()).fetchone() == (0,)
        name = second.execute("SELECT current_setting('application_name')").fetchone()
        assert name is not None
        assert "member" not in name[0]
        # Not even with what the other one's transaction was sealed with.
        second.execute("SELECT set_config('flagctl.change', %s, false)", row)
        with pytest.raises(psycopg.OperationalError, match="not begun here"):
            second.execute(count.encode())
        second.rollback()
        # And whoever leaves something there is in nobody's way.
        second.execute("SELECT set_config('flagctl.change', %s, false)", row)
        second.commit()
        assert backend(first) == shared
        first.rollback()
        raw_sql.begin(first, pooled.direct.token)
        assert first.execute(count.encode()).fetchone() == (3,)
        first.rollback()


def test_no_statement_is_left_prepared(pooled: Pooled) -> None:
    """Two clients whose turns alternate on one connection, each long enough to want to prepare."""
    url = pooled.through.admin_url
    with (
        connect(url, application_name="one") as one,
        connect(url, application_name="two") as two,
    ):
        for _ in range(12):
            for connection in (one, two):
                assert connection.exec_driver_sql("SELECT %s::int", (1,)).scalar() == 1
                connection.rollback()
        assert one.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements").scalar() == 0


def is_refused(reader: Reader, key: str) -> bool:
    return reader.get("/v1/flags", key).status == 401


def test_a_reader_that_listens_directly(pooled: Pooled, tmp_path: Path) -> None:
    prod = fill(pooled.direct)
    settings = settings_for(pooled.through, redis=False) | {
        "FLAGCTL_LISTEN_DATABASE_URL": pooled.direct.reader_url.reveal(),
        "FLAGCTL_CHECK_INTERVAL": "600",
    }
    with running(tmp_path, settings) as reader:
        eventually(lambda: "listening to Postgres" in reader.log.read_text(), "it listens")
        for state in ("off", "on", "off"):
            revision = switch(pooled.through, state)
            wait_for(reader, prod.server_key, revision, within=20)
        assert reader.get("/v1/flags", prod.server_key).json()["dark_mode"] is False
        assert reader.metric("flagctl_postgres_failures_total") == 0
        # Another reader shares its connection, and a key is revoked for both.
        with running(tmp_path, settings) as other:
            assert other.get("/v1/flags", prod.server_key).status == 200
            pooled.direct.govern("UPDATE flagctl.api_keys SET revoked_at = now()")
            for each in (reader, other):
                eventually(partial(is_refused, each, prod.server_key), "the key is refused")


def test_a_reader_without_a_direct_address(pooled: Pooled, tmp_path: Path) -> None:
    """Nobody tells it anything; the revision check does."""
    prod = fill(pooled.direct)
    settings = settings_for(pooled.through, redis=False) | {"FLAGCTL_CHECK_INTERVAL": "0.1"}
    with running(tmp_path, settings) as reader:
        wait_for(reader, prod.server_key, switch(pooled.direct, "off"), within=20)
        assert reader.get("/v1/flags", prod.server_key).json()["dark_mode"] is False
