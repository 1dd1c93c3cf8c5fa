"""Raw SQL with each login: what the grants and triggers allow, whatever flagctl's code does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from core.auth.actor import Role
from core.errors import FlagctlError, ForbiddenError, UnauthenticatedError
from core.services.flags import Definition, create_flag
from tests.support.installations import Cluster, Installation
from tests.support.servers import Servers

READER_COLUMNS = {
    "snapshot_key": "singleton secret",
    "organizations": "id key archived_at",
    "environments": "id organization_id public_id key revision stamp",
    "flags": "id organization_id key type variants on_variant off_variant default_enabled"
    " client_visible expires_at archived_at salt version",
    "overrides": "id flag_id environment_id enabled targeting",
    "segments": "organization_id key condition",
    "configs": "id organization_id key type client_visible",
    "config_values": "id config_id environment_id value",
    "api_keys": "id environment_id public_id kind digest expires_at revoked_at",
    "issuers": "id issuer audience max_lifetime_seconds",
    "issuer_keys": "id issuer_id key_id modulus expires_at revoked_at",
    "schema_version": "version_num",
}
ADMIN_CANNOT_READ = {
    ("change_key", "singleton"),
    ("change_key", "inner_key"),
    ("change_key", "outer_key"),
    ("snapshot_key", "singleton"),
    ("snapshot_key", "secret"),
    ("api_keys", "digest"),
    *(
        ("verified_tokens", column)
        for column in ("digest", "modulus", "header", "claims", "expires_at", "organization_id")
    ),
}
ADMIN_UPDATES = {
    "organizations": "name key_pattern",
    "environments": "description confirm",
    "flags": "variants on_variant off_variant default_enabled description owner tags permanent"
    " client_visible expires_at archived_at salt",
    "overrides": "enabled targeting",
    "segments": "description condition",
    "configs": "schema description client_visible",
    "config_values": "value",
    "api_keys": "expires_at revoked_at",
    "members": "email role",
    "tokens": "revoked_at",
}
ADMIN_DELETES = {
    *("environments", "flags", "overrides", "segments", "configs", "config_values"),
    *("api_keys", "members"),
}
TRUST_COLUMNS = {
    "organizations": "id key name key_pattern archived_at created_at",
    "issuers": "id organization_id issuer audience built_in max_lifetime_seconds jwks_url"
    " refreshed_at created_at",
    "issuer_keys": "id issuer_id key_id modulus expires_at revoked_at created_at",
    "members": "id organization_id issuer_id subject claims email environment_id role version"
    " created_at updated_at",
    "audit_events": "organization_id seq",
    "schema_version": "version_num",
}
TRUST_UPDATES = {
    "organizations": "name",  # for a lock; no row lets it through
    "issuers": "audience max_lifetime_seconds jwks_url refreshed_at",
    "issuer_keys": "expires_at revoked_at",
}
CREATING = [
    "CREATE TABLE flagctl.x (a int)",
    "CREATE TABLE public.x (a int)",
    "CREATE TEMPORARY TABLE x (a int)",
    "CREATE TABLE flagctl.x AS SELECT 1",
    "SELECT 1 AS a INTO flagctl.x",
    "CREATE VIEW flagctl.x AS SELECT 1",
    "CREATE SEQUENCE flagctl.x",
    "CREATE TEMPORARY SEQUENCE x",
    "CREATE SCHEMA x",
    "CREATE FUNCTION flagctl.x() RETURNS int LANGUAGE sql RETURN 1",
    "CREATE FUNCTION public.x() RETURNS int LANGUAGE sql RETURN 1",
    "CREATE FUNCTION pg_temp.x() RETURNS int LANGUAGE sql RETURN 1",
    "CREATE TYPE flagctl.x AS (a int)",
    "CREATE DOMAIN public.x AS int",
    "CREATE PUBLICATION x FOR ALL TABLES",
    "CREATE ROLE x",
    "CREATE DATABASE x",
    "CREATE EVENT TRIGGER x ON ddl_command_end EXECUTE FUNCTION flagctl.refuse_change()",
    "CREATE TRIGGER x BEFORE INSERT ON flagctl.flags EXECUTE FUNCTION flagctl.touch()",
    "ALTER TABLE flagctl.flags ADD COLUMN x int",
    "ALTER TABLE flagctl.audit_events DISABLE TRIGGER ALL",
    "DROP TABLE flagctl.overrides",
    "DROP TRIGGER append_only ON flagctl.audit_events",
    "DROP FUNCTION flagctl.refuse_change()",
    "SELECT lo_create(0)",
    "SELECT lo_creat(-1)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_import('/etc/hostname')",
    "SELECT lo_put(1, 0, 'x')",
    "SELECT lo_unlink(1)",
    "SELECT lo_open(1, 131072)",
    "SELECT pg_logical_emit_message(true, 'x', 'x')",
    "SELECT pg_create_restore_point('x')",
    "SELECT pg_switch_wal()",
    "SELECT pg_stat_reset()",
    "SELECT pg_read_file('/etc/passwd')",
    "COPY flagctl.organizations (id, key) TO PROGRAM 'cat'",
    "COPY flagctl.organizations (id, key) TO '/tmp/x'",
    "SET session_replication_role = replica",
    "SET SESSION AUTHORIZATION postgres",
    "ALTER SYSTEM SET fsync = off",
]


@pytest.fixture(scope="module")
def ground(cluster: Cluster) -> Iterator[Installation]:
    """An installation with a row in the tables; whatever these tests try, nothing changes in it."""
    with cluster.installation() as made:
        with made.change() as change:
            create_flag(change, Definition("dark_mode"))
        yield made


@pytest.fixture(params=["reader", "admin"])
def login(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def columns(installation: Installation) -> list[tuple[str, str]]:
    found = installation.ask(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'flagctl' ORDER BY 1, ordinal_position"
    )
    assert len(found) > 100
    return [(str(table), str(column)) for table, column in found]


def allowed(connection: psycopg.Connection[Any], template: str, *names: str) -> bool:
    """Whether a statement is not refused for lack of a privilege. Nothing of it stays."""
    statement = sql.SQL(template).format(*map(sql.Identifier, names))
    try:
        with connection.transaction(force_rollback=True):
            connection.execute(statement)
    except errors.InsufficientPrivilege:
        return False
    except psycopg.Error as error:  # the privilege is there; a trigger or constraint says no
        assert error.sqlstate is not None  # noqa: PT017 - one of many
    return True


def spread(table: dict[str, str]) -> set[tuple[str, str]]:
    return {(name, column) for name, text in table.items() for column in text.split()}


def test_the_reader_reads_exactly_what_is_listed(ground: Installation) -> None:
    with ground.connect("reader") as connection:
        readable = {
            (table, column)
            for table, column in columns(ground)
            if allowed(connection, "SELECT {} FROM flagctl.{}", column, table)
        }
    assert readable == spread(READER_COLUMNS)


def test_the_admin_reads_everything_but_the_secrets(ground: Installation) -> None:
    with ground.connect("admin") as connection:
        hidden = {
            (table, column)
            for table, column in columns(ground)
            if not allowed(connection, "SELECT {} FROM flagctl.{}", column, table)
        }
    assert hidden == ADMIN_CANNOT_READ


def test_the_keepers_of_trust_read_and_update_exactly_what_is_listed(ground: Installation) -> None:
    with ground.connect("trust") as connection:
        readable = {
            (table, column)
            for table, column in columns(ground)
            if allowed(connection, "SELECT {} FROM flagctl.{}", column, table)
        }
        updatable = {
            (table, column)
            for table, column in columns(ground)
            if allowed(connection, "UPDATE flagctl.{} SET {} = DEFAULT", table, column)
        }
    assert readable == spread(TRUST_COLUMNS)
    assert updatable == spread(TRUST_UPDATES)


def test_the_keepers_of_trust_lock_an_organization_and_do_not_change_it(
    ground: Installation,
) -> None:
    with ground.connect("trust") as connection, connection.transaction(force_rollback=True):
        connection.execute("SELECT flagctl.begin_owner_change('default', NULL, 'psql')")
        locked = connection.execute("SELECT id FROM flagctl.organizations FOR NO KEY UPDATE")
        assert locked.fetchall() == [(1,)]
        with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
            connection.execute("UPDATE flagctl.organizations SET name = 'mine'")


def test_the_columns_that_may_be_updated(ground: Installation, login: str) -> None:
    with ground.connect(login) as connection:
        updatable = {
            (table, column)
            for table, column in columns(ground)
            if allowed(connection, "UPDATE flagctl.{} SET {} = DEFAULT", table, column)
        }
    assert updatable == (spread(ADMIN_UPDATES) if login == "admin" else set())


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM flagctl.{}",
        "TRUNCATE flagctl.{} CASCADE",
        "INSERT INTO flagctl.{} DEFAULT VALUES",
        "SELECT FROM flagctl.{} FOR UPDATE",
        "LOCK TABLE flagctl.{} IN ACCESS EXCLUSIVE MODE",
    ],
)
def test_whole_tables(statement: str, ground: Installation, login: str) -> None:
    with ground.connect(login) as connection:
        tables = {table for table, _ in columns(ground)}
        possible = {table for table in tables if allowed(connection, statement, table)}
    if login == "admin" and statement.startswith("DELETE"):
        assert possible == ADMIN_DELETES
    elif login == "admin" and statement.startswith("SELECT"):
        assert possible == set(ADMIN_UPDATES)
    elif login == "admin" and statement.startswith(("INSERT", "LOCK")):
        assert not possible & {"audit_events", "audit_event_revisions", "issuers", "issuer_keys"}
        assert not possible & {"installation", "snapshot_key"}
    else:
        assert possible == set()


def test_no_row_of_any_other_table_either(ground: Installation, login: str) -> None:
    """In every schema. `pg_settings` is a view by which one sets one's own session."""
    found = ground.ask(
        "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f')"
        " AND c.relnamespace <> 'flagctl'::regnamespace AND (has_table_privilege(%(u)s, c.oid,"
        " 'INSERT, UPDATE, DELETE, TRUNCATE, TRIGGER') OR has_any_column_privilege(%(u)s, c.oid,"
        " 'INSERT, UPDATE'))",
        {"u": f"{ground.prefix}_{login}_login"},
    )
    assert found == [("pg_settings",)]


@pytest.mark.parametrize("statement", CREATING)
def test_nothing_can_be_made_or_changed_beside_the_tables(
    statement: str, ground: Installation, login: str
) -> None:
    with ground.connect(login) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_nobody_becomes_somebody_else(ground: Installation, login: str) -> None:
    others = {"owner", "admin", "reader"} - {login}
    with ground.connect(login) as connection:
        for other in (*others, *(f"{other}_login" for other in others)):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(f"SET ROLE {ground.prefix}_{other}".encode())


@pytest.mark.parametrize(
    ("who", "functions"),
    [
        ("reader", {"audit_page", "epoch"}),
        (
            "admin",
            {
                *("audit_page", "epoch", "begin_change", "record_denial", "organizations_of"),
                *("outcome", "state_of", "set_state", "set_flag", "current_organization"),
                *("organization_where", "organization_throughout", "organization_somewhere"),
                "environments_where",
            },
        ),
        ("trust", {"begin_owner_change", "outcome"}),
        ("public", set()),
    ],
)
def test_the_functions_that_may_be_called(
    who: str, functions: set[str], ground: Installation
) -> None:
    role = "public" if who == "public" else f"{ground.prefix}_{who}_login"
    found = ground.ask(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'flagctl'::regnamespace"
        " AND has_function_privilege(%s, oid, 'EXECUTE')",
        [role],
    )
    assert {name for (name,) in found} == functions


def test_no_function_of_large_objects_or_the_log_is_left(ground: Installation, login: str) -> None:
    found = ground.ask(
        r"SELECT oid::regprocedure::text FROM pg_proc WHERE (proname LIKE 'lo\_%%' OR proname IN"
        " ('loread', 'lowrite', 'pg_logical_emit_message')) AND has_function_privilege(%s, oid,"
        " 'EXECUTE') AND pronamespace = 'pg_catalog'::regnamespace",
        [f"{ground.prefix}_{login}_login"],
    )
    assert found == []


def test_functions_that_run_as_their_owner_cannot_be_led_astray(ground: Installation) -> None:
    found = ground.ask(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'flagctl'::regnamespace AND prosecdef"
        " AND NOT coalesce('search_path=pg_catalog, pg_temp' = ANY (proconfig), false)"
    )
    assert found == []


def test_public_has_nothing(ground: Installation) -> None:
    assert (
        ground.ask(
            "SELECT table_name FROM information_schema.table_privileges"
            " WHERE grantee = 'PUBLIC' AND table_schema = 'flagctl' UNION ALL"
            " SELECT table_name FROM information_schema.column_privileges"
            " WHERE grantee = 'PUBLIC' AND table_schema = 'flagctl'"
        )
        == []
    )
    assert ground.ask(
        "SELECT has_schema_privilege('public', 'flagctl', 'USAGE, CREATE'),"
        " has_schema_privilege('public', 'public', 'USAGE, CREATE'),"
        " has_database_privilege('public', current_database(), 'CONNECT, TEMPORARY, CREATE')"
    ) == [(False, False, False)]


def test_no_login_and_no_group_is_more_than_it_must_be(ground: Installation) -> None:
    found = ground.ask(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE %s AND (rolsuper OR rolcreaterole OR"
        " rolcreatedb OR rolreplication OR rolbypassrls)",
        [f"{ground.prefix}%"],
    )
    assert found == []
    groups = ground.ask(
        "SELECT rolname FROM pg_roles WHERE rolname LIKE %s AND NOT rolcanlogin ORDER BY 1",
        [f"{ground.prefix}%"],
    )
    assert [name.removeprefix(ground.prefix) for (name,) in groups] == [
        "_admin",
        "_owner",
        "_reader",
        "_trust",
    ]


WRITING = [
    "INSERT INTO flagctl.flags (organization_id, key, type, variants, on_variant, off_variant)"
    " VALUES (1, 'x', 'boolean', '{\"on\": true, \"off\": false}', 'on', 'off')",
    "UPDATE flagctl.flags SET default_enabled = NOT default_enabled",
    "DELETE FROM flagctl.flags",
    "UPDATE flagctl.environments SET confirm = NOT confirm",
    "DELETE FROM flagctl.environments WHERE key = 'staging'",
    "UPDATE flagctl.organizations SET name = 'x'",
    "UPDATE flagctl.members SET role = 'viewer'",
    "UPDATE flagctl.tokens SET revoked_at = now()",
]


@pytest.mark.parametrize("statement", WRITING)
def test_the_admin_writes_nothing_without_a_change(statement: str, ground: Installation) -> None:
    with (
        ground.connect("admin") as connection,
        pytest.raises(psycopg.Error, match="no change was begun") as caught,
    ):
        connection.execute(statement.encode())
    assert caught.value.sqlstate == "FC003"


@pytest.mark.parametrize("statement", WRITING[:4])
def test_with_a_change_raw_sql_is_recorded_and_raises_revisions(
    statement: str, installation: Installation
) -> None:
    with installation.change() as change:
        create_flag(change, Definition("dark_mode"))
    seq, revisions = installation.last_event(), installation.revisions()
    with installation.connect("admin") as connection, connection.transaction():
        connection.execute(
            "SELECT flagctl.begin_change(%s, NULL, 'by hand', 'psql')",
            [installation.token.reveal()],
        )
        connection.execute(statement.encode())
    expected = 3 if "environments" in statement else 1
    assert installation.last_event() == seq + expected
    raised = {key: n for key, n in installation.revisions().items() if n != revisions[key]}
    assert set(raised) == (set() if "environments" in statement else set(revisions))


def test_a_change_is_over_with_its_transaction(ground: Installation) -> None:
    begin = "SELECT flagctl.begin_change(%s, NULL, NULL, 'psql')"
    with ground.connect("admin") as connection:
        with connection.transaction():
            connection.execute(begin.encode(), [ground.token.reveal()])
        with pytest.raises(psycopg.Error, match="no change was begun"):
            connection.execute("UPDATE flagctl.flags SET default_enabled = NOT default_enabled")


def test_a_change_in_one_organization_writes_in_no_other(installation: Installation) -> None:
    second_organization(installation)
    with installation.connect("admin") as connection, connection.transaction():
        connection.execute(
            "SELECT flagctl.begin_change(%s, NULL, NULL, 'psql')", [installation.token.reveal()]
        )
        done = connection.execute("UPDATE flagctl.organizations SET name = 'x' WHERE key = 'two'")
        assert done.rowcount == 0


AUDIT_CHANGES = [
    "UPDATE flagctl.audit_events SET actor = 'nobody'",
    "UPDATE flagctl.audit_events SET actor = 'nobody' WHERE false",
    "DELETE FROM flagctl.audit_events",
    "TRUNCATE flagctl.audit_events CASCADE",
    "UPDATE flagctl.audit_event_revisions SET revision = 1",
    "DELETE FROM flagctl.audit_event_revisions",
    "TRUNCATE flagctl.audit_event_revisions",
]


@pytest.mark.parametrize("statement", AUDIT_CHANGES)
def test_the_log_cannot_be_changed_even_by_its_owner(statement: str, ground: Installation) -> None:
    with ground.connect("owner") as connection:
        connection.execute(f"SET ROLE {ground.prefix}_owner".encode())
        with pytest.raises(psycopg.Error, match="is append only") as caught:
            connection.execute(statement.encode())
    assert caught.value.sqlstate == "FC004"


@pytest.mark.parametrize("statement", AUDIT_CHANGES)
def test_the_log_cannot_be_changed_by_the_others(
    statement: str, ground: Installation, login: str
) -> None:
    with ground.connect(login) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_the_owner_cannot_switch_triggers_off_for_a_session(ground: Installation) -> None:
    with ground.connect("owner") as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute("SET session_replication_role = replica")


def page(installation: Installation, token: str | None, organization: str | None = None) -> Any:
    """What the reader's login gets from the log."""
    return installation.ask(
        "SELECT flagctl.audit_page(%s, %s, '{\"limit\": 1000}')",
        [token, organization],
        login="reader",
    )


def second_organization(installation: Installation) -> None:
    installation.govern("INSERT INTO flagctl.organizations (key, name) VALUES ('two', 'Two')")
    with installation.connect() as connection:
        connection.execute(
            "INSERT INTO flagctl.audit_events SELECT o.id, a.seq + 100, a.change_id, a.occurred_at,"
            " 'their secret', a.actor_name, a.entity_type, a.entity_id + 1000, a.entity_key,"
            " a.environment_id, a.environment, a.action, a.before, a.after, a.reason,"
            " a.client_version FROM flagctl.audit_events a, flagctl.organizations o"
            " WHERE o.key = 'two' AND a.organization_id <> o.id"
        )


def test_a_page_of_the_log_is_of_the_callers_organization(installation: Installation) -> None:
    second_organization(installation)
    token = installation.token.reveal()
    rows = page(installation, token)
    assert len(rows) == installation.last_event()
    assert "their secret" not in str(rows)
    assert page(installation, token, "default") == rows
    with pytest.raises(psycopg.Error, match="is not a member of organization two") as caught:
        page(installation, token, "two")
    assert caught.value.sqlstate == "FC004"


@pytest.mark.parametrize("token", [None, "", "x", "a.b.c", "a.b.c.d", "e30.e30.e30", "e30.W10.e30"])
def test_without_a_token_there_is_no_page(token: str | None, ground: Installation) -> None:
    with pytest.raises(psycopg.Error) as caught:
        page(ground, token)
    assert caught.value.sqlstate == "FC003"


def test_a_revoked_token_gets_no_page(installation: Installation) -> None:
    token = installation.token_for(Role.VIEWER, "dev").reveal()
    assert page(installation, token)
    installation.govern("UPDATE flagctl.tokens SET revoked_at = now()")
    with pytest.raises(psycopg.Error, match="has been revoked"):
        page(installation, token)


def test_the_reader_cannot_begin_a_change(ground: Installation) -> None:
    with ground.connect("reader") as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(
            "SELECT flagctl.begin_change(%s, NULL, NULL, 'x')", [ground.token.reveal()]
        )


_SEAL = "SELECT current_setting('flagctl.change', true)"
_BEGIN = "SELECT flagctl.begin_change(%s, NULL, NULL, 'x')"
_WRITE = "UPDATE flagctl.environments SET description = 'mine' WHERE key = 'dev'"


@pytest.mark.parametrize("login", ["admin", "owner"])
def test_a_change_that_was_made_up_is_refused(login: str, ground: Installation) -> None:
    change = (
        '{"organization_id": 1, "actor": "ceo@example.com", "actor_name": "ceo", "grants": [],'
        ' "change_id": "00000000-0000-0000-0000-000000000000", "client_version": "x"}'
    )
    for setting in (change, "0" * 64 + " " + change):
        with ground.connect(login) as connection, connection.transaction(force_rollback=True):
            connection.execute("SELECT set_config('flagctl.change', %s, true)", [setting])
            with pytest.raises(psycopg.Error, match="was not begun here") as caught:
                connection.execute(_WRITE)
        assert caught.value.sqlstate == "FC003"


def test_a_change_is_worth_nothing_in_another_transaction(ground: Installation) -> None:
    with ground.connect("admin") as connection:
        with connection.transaction(force_rollback=True):
            connection.execute(_BEGIN, [ground.token.reveal()])
            connection.execute(_WRITE)
            copied = connection.execute(_SEAL).fetchone()
        assert copied is not None
        with connection.transaction(force_rollback=True):
            connection.execute("SELECT set_config('flagctl.change', %s, true)", copied)
            with pytest.raises(psycopg.Error, match="was not begun here"):
                connection.execute(_WRITE)


def test_two_installations_in_one_cluster_do_not_see_each_other(
    ground: Installation, servers: Servers, tmp_path: Path
) -> None:
    other = Cluster(servers.superuser_url, servers.redis, tmp_path)
    try:
        with other.installation() as second:
            for login in ("owner", "admin", "reader"):
                url = getattr(ground, f"{login}_url").reveal().replace(ground.name, second.name)
                with pytest.raises(psycopg.OperationalError, match="permission denied for data"):
                    psycopg.connect(url)
            with pytest.raises(FlagctlError) as caught, second.session(ground.token):
                pytest.fail("opened with the token of another installation")
            assert isinstance(caught.value, UnauthenticatedError | ForbiddenError)
    finally:
        other.close()
