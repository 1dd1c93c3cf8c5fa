"""A login can neither end, read nor become anybody else, nor loosen what holds for itself."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from core.services.grants import Group, apply, cluster_statements
from core.settings import Secret
from tests.support.grounds import Ground
from tests.support.installations import Cluster
from tests.support.raw_sql import begin, outcome


@pytest.fixture(scope="module")
def colleague(ground: Ground, cluster: Cluster) -> Iterator[Secret]:
    """Another login of the CLI's group."""
    made = ground.installation
    login = f"{made.prefix}_colleague"
    with made.connect() as connection:
        apply(connection, cluster_statements(made.prefix, made.name, {login: Group.ADMIN}))
        connection.execute(
            sql.SQL("ALTER ROLE {} PASSWORD 'colleague'").format(sql.Identifier(login))
        )
    admin = made.admin_url.reveal()
    credentials = admin.split("//")[1].split("@")[0]
    yield Secret(admin.replace(credentials, f"{login}:colleague"))
    made.run(f"DROP ROLE {login}")


def test_a_colleagues_session_is_closed_to_one(ground: Ground, colleague: Secret) -> None:
    with psycopg.connect(colleague.reveal()) as other, ground.connect() as connection:
        begin(other, ground.admin)
        pid = other.info.backend_pid
        for call in ("pg_terminate_backend", "pg_cancel_backend"):
            assert outcome(connection, f"SELECT {call}({pid})") == "42501"
        seen = connection.execute(
            "SELECT query FROM pg_stat_activity WHERE pid = %s", [pid]
        ).fetchone()
        assert seen == ("<insufficient privilege>",)
        assert other.execute("SELECT 1").fetchone() == (1,)


@pytest.mark.parametrize("group", ["owner", "reader", "trust"])
def test_nobody_becomes_another_group(group: str, ground: Ground) -> None:
    role = f"{ground.installation.prefix}_{group}"
    with ground.connect() as connection:
        assert outcome(connection, f"SET ROLE {role}") == "42501"
        assert outcome(connection, f"SELECT set_config('role', '{role}', false)") == "42501"
        assert outcome(connection, f"SET SESSION AUTHORIZATION {role}") == "42501"
        assert outcome(connection, f"GRANT {role} TO CURRENT_USER") == "42501"


def test_row_security_cannot_be_switched_off(ground: Ground) -> None:
    with ground.connect() as connection:
        begin(connection, ground.admin)
        assert outcome(connection, "SET LOCAL row_security = off") == "-1 rows"
        connection.execute("SET LOCAL row_security = off")
        assert outcome(connection, "SELECT key FROM flagctl.flags") == "42501"


@pytest.mark.parametrize(
    "setting",
    [
        "session_replication_role = replica",
        "allow_system_table_mods = on",
        "log_statement = 'none'",
    ],
)
def test_what_an_own_role_cannot_be_given(setting: str, ground: Ground) -> None:
    with ground.connect() as connection:
        assert outcome(connection, f"ALTER ROLE CURRENT_USER SET {setting}") == "42501"


def test_a_search_path_of_ones_own_shadows_nothing(own_ground: Ground) -> None:
    """A schema that comes first, with functions and operators of the usual names in it."""
    made = own_ground.installation
    made.run("CREATE SCHEMA evil")
    made.run(f"GRANT ALL ON SCHEMA evil TO {made.prefix}_admin")
    for definition in (
        "FUNCTION evil.sha256(bytea) RETURNS bytea LANGUAGE sql RETURN '\\x00'::bytea",
        "FUNCTION evil.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
        " RETURN '-infinity'::timestamptz",
        "FUNCTION evil.format(text, VARIADIC text[]) RETURNS text LANGUAGE sql RETURN 'x'",
        "FUNCTION evil.same(jsonb, jsonb) RETURNS boolean LANGUAGE sql RETURN true",
        "OPERATOR evil.= (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = evil.same)",
        "OPERATOR evil.<@ (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = evil.same)",
        "OPERATOR evil.@> (LEFTARG = jsonb, RIGHTARG = jsonb, FUNCTION = evil.same)",
    ):
        with own_ground.connect() as connection:
            connection.execute(f"CREATE {definition}".encode())
    before = own_ground.state()
    with own_ground.connect() as connection:
        connection.execute("SET search_path = evil, pg_catalog, flagctl")
        begin(connection, own_ground.editor_of_dev)
        assert outcome(connection, "UPDATE flagctl.flags SET default_enabled = true") == "0 rows"
        assert connection.execute("SELECT key FROM flagctl.flags").fetchall() == [("checkout",)]
        with pytest.raises(psycopg.Error, match="is not a JWT"):
            connection.execute("SELECT flagctl.audit_page('x', NULL, '{}')")
    assert own_ground.state() == before


def test_a_prepared_transaction_outlives_nothing(ground: Ground) -> None:
    """Where the server allows them at all, one that notified cannot be prepared."""
    before = ground.state()
    with ground.connect() as connection:
        begin(connection, ground.admin)
        connection.execute("UPDATE flagctl.flags SET default_enabled = NOT default_enabled")
        with pytest.raises(psycopg.Error):
            connection.execute("PREPARE TRANSACTION 'mine'")
    assert ground.state() == before


def test_a_notification_of_ones_own_is_a_hint_at_most(ground: Ground) -> None:
    """Anybody may NOTIFY; readers ask Postgres for the truth."""
    before = ground.state()
    with ground.connect() as connection:
        assert outcome(connection, "NOTIFY flagctl_revisions, '0000 99'") == "-1 rows"
        connection.commit()
    assert ground.state() == before


def test_what_stays_open_is_known(ground: Ground) -> None:
    """Whoever may delete rows of a table may lock it: the threat model says so."""
    lockable = set()
    with ground.connect() as connection:
        tables = ground.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'flagctl'")
        for (table,) in tables:
            if outcome(connection, f"LOCK TABLE flagctl.{table}") == "-1 rows":
                lockable.add(table)
    assert lockable == {
        *("environments", "flags", "overrides", "configs", "config_values"),
        *("segments", "api_keys", "members"),
    }
