"""Raw SQL with each login: functions, roles, and whatever else Postgres lets one make or call."""

from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from core.errors import FlagctlError, ForbiddenError, UnauthenticatedError
from tests.support.installations import Cluster, Installation
from tests.support.servers import Servers

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
