"""Raw SQL with each login: the tables and columns that it reads and writes, and no others."""

from typing import Any

import psycopg
import pytest
from psycopg import errors, sql

from tests.support.installations import Installation

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
