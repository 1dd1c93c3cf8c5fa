"""Who may do what in Postgres: four groups without login, and nothing for PUBLIC.

`cluster_statements` are a DBA's (roles and database), `schema_statements` the owner's, renewed with
each upgrade. People, pipelines and servers have logins of their own inside the groups.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import sql

from core.db import translated
from core.services.policies import policy_statements

SCHEMA = "flagctl"


class Group(StrEnum):
    OWNER = "owner"
    ADMIN = "admin"
    READER = "reader"
    TRUST = "trust"  # who keeps the issuers and their keys, as a scheduled refresh


def group_name(prefix: str, group: Group) -> str:
    return f"{prefix}_{group}"


@dataclass(frozen=True, slots=True)
class _Table:
    """What each group may do with a table, besides the policies; "" is nothing."""

    admin: str
    reader: str = ""
    trust: str = ""


_TABLES = {
    "installation": _Table("SELECT"),
    "snapshot_key": _Table("", "SELECT"),
    "organizations": _Table(
        "SELECT, UPDATE (name, key_pattern)",
        "SELECT (id, key, archived_at)",
        "SELECT, UPDATE (name)",  # for the lock alone: its policy lets no update through
    ),
    "environments": _Table(
        "SELECT, DELETE, INSERT (organization_id, key, description, confirm),"
        " UPDATE (description, confirm)",
        "SELECT (id, organization_id, public_id, key, revision, stamp)",
    ),
    "flags": _Table(
        "SELECT, DELETE, INSERT (organization_id, key, type, variants, on_variant, off_variant,"
        " default_enabled, description, owner, tags, permanent, client_visible, expires_at),"
        " UPDATE (variants, on_variant, off_variant, default_enabled, description, owner, tags,"
        " permanent, client_visible, expires_at, archived_at, salt)",
        "SELECT (id, organization_id, key, type, variants, on_variant, off_variant,"
        " default_enabled, client_visible, expires_at, archived_at, salt, version)",
    ),
    "overrides": _Table(
        "SELECT, DELETE, INSERT (organization_id, flag_id, environment_id, enabled, targeting),"
        " UPDATE (enabled, targeting)",
        "SELECT (id, flag_id, environment_id, enabled, targeting)",
    ),
    "segments": _Table(
        "SELECT, DELETE, INSERT (organization_id, key, description, condition),"
        " UPDATE (description, condition)",
        "SELECT (organization_id, key, condition)",
    ),
    "configs": _Table(
        "SELECT, DELETE, INSERT (organization_id, key, type, schema, description, client_visible),"
        " UPDATE (schema, description, client_visible)",
        "SELECT (id, organization_id, key, type, client_visible)",
    ),
    "config_values": _Table(
        "SELECT, DELETE, INSERT (organization_id, config_id, environment_id, value),"
        " UPDATE (value)",
        "SELECT (id, config_id, environment_id, value)",
    ),
    "api_keys": _Table(
        "SELECT (id, organization_id, environment_id, public_id, name, kind, expires_at,"
        " revoked_at, version, created_at, updated_at), DELETE,"
        " INSERT (organization_id, environment_id, name, kind, digest, expires_at),"
        " UPDATE (expires_at, revoked_at)",
        "SELECT (id, environment_id, public_id, kind, digest, expires_at, revoked_at)",
    ),
    "issuers": _Table(
        "SELECT",
        "SELECT (id, issuer, audience, max_lifetime_seconds)",
        "SELECT, DELETE,"
        " INSERT (organization_id, issuer, audience, max_lifetime_seconds, jwks_url, refreshed_at),"
        " UPDATE (audience, max_lifetime_seconds, jwks_url, refreshed_at)",
    ),
    "issuer_keys": _Table(
        "SELECT",
        "SELECT (id, issuer_id, key_id, modulus, expires_at, revoked_at)",
        "SELECT, DELETE, INSERT (issuer_id, key_id, modulus, expires_at),"
        " UPDATE (expires_at, revoked_at)",
    ),
    "members": _Table(
        "SELECT, DELETE,"
        " INSERT (organization_id, issuer_id, subject, claims, email, environment_id, role),"
        " UPDATE (email, role)",
        trust="SELECT",
    ),
    "tokens": _Table(
        "SELECT, INSERT (organization_id, issuer_id, jti, subject, expires_at), UPDATE (revoked_at)"
    ),
    "audit_events": _Table(
        "SELECT",
        trust="SELECT (organization_id, seq)",  # for --if-revision
    ),
    "audit_event_revisions": _Table("SELECT"),
    "schema_version": _Table("SELECT", "SELECT", "SELECT"),
}

_FUNCTIONS = {
    "begin_change(text, text, text, text)": (Group.ADMIN,),
    "begin_owner_change(text, text, text)": (Group.TRUST,),
    "outcome()": (Group.ADMIN, Group.TRUST),
    "record_denial(text, text, text, text)": (Group.ADMIN,),
    "organizations_of(text)": (Group.ADMIN,),
    "set_flag(text, text, text, text, text, text, jsonb, bigint)": (Group.ADMIN,),
    "state_of(text, text)": (Group.ADMIN,),
    "set_state(bigint, bigint, boolean, jsonb)": (Group.ADMIN,),
    **dict.fromkeys(
        (
            "current_organization()",
            "organization_where(text)",
            "organization_throughout(text)",
            "organization_somewhere(text)",
            "environments_where(text)",
        ),
        (Group.ADMIN,),  # for the policies
    ),
    "audit_page(text, text, jsonb)": (Group.ADMIN, Group.READER),
    "epoch()": (Group.ADMIN, Group.READER),
}

_PRIVILEGE = re.compile(r"([A-Z]+)(?: \(([^)]*)\))?")

# Superuser's functions in pg_catalog through which any login could write, or hold a migration up.
_REVOKE_WRITING_FUNCTIONS = """DO $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT p.oid::regprocedure AS signature FROM pg_catalog.pg_proc p
        WHERE p.pronamespace = 'pg_catalog'::regnamespace
            AND (p.proname LIKE 'lo\\_%' OR p.proname IN ('loread', 'lowrite')
                OR p.proname LIKE 'pg\\_%advisory%' OR p.proname = 'pg_logical_emit_message')
    LOOP
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', found.signature);
    END LOOP;
END
$$"""

_CREATE_ROLE = """DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {name}) THEN
        CREATE ROLE {role} {attributes};
    END IF;
END
$$"""


def cluster_statements(prefix: str, database: str, logins: dict[str, Group]) -> list[sql.Composed]:
    """What a superuser runs once for this database. `logins` puts named logins into groups."""
    name = sql.Identifier(database)
    owner, *others = (sql.Identifier(group_name(prefix, g)) for g in Group)
    statements = [_create_role(group_name(prefix, group), "NOLOGIN") for group in Group]
    statements += [
        sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name),
        sql.SQL("GRANT CONNECT, CREATE ON DATABASE {} TO {}").format(name, owner),
        sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(name, sql.SQL(", ").join(others)),
        sql.SQL("REVOKE ALL ON SCHEMA public FROM PUBLIC").format(),
        sql.SQL(_REVOKE_WRITING_FUNCTIONS).format(),
        sql.SQL("GRANT EXECUTE ON FUNCTION pg_catalog.pg_try_advisory_lock(bigint) TO {}").format(
            owner
        ),
    ]
    for login, group in logins.items():
        statements.append(_create_role(login, "LOGIN"))
        statements.append(
            sql.SQL("GRANT {} TO {}").format(
                sql.Identifier(group_name(prefix, group)), sql.Identifier(login)
            )
        )
    return statements


def _create_role(name: str, attributes: str) -> sql.Composed:
    return sql.SQL(_CREATE_ROLE).format(
        name=sql.Literal(name), role=sql.Identifier(name), attributes=sql.SQL(attributes)
    )


def schema_statements(prefix: str) -> list[sql.Composed]:
    """What the owner runs after each upgrade: everything taken back, then exactly this given."""
    names = {group: group_name(prefix, group) for group in (Group.ADMIN, Group.READER, Group.TRUST)}
    groups = {group: sql.Identifier(name) for group, name in names.items()}
    everybody = sql.SQL(", ").join(groups.values())
    statements = [
        sql.SQL("REVOKE ALL ON SCHEMA flagctl FROM PUBLIC").format(),
        sql.SQL("GRANT USAGE ON SCHEMA flagctl TO {}").format(everybody),
    ]
    statements += [
        sql.SQL("REVOKE ALL ON ALL {} IN SCHEMA flagctl FROM PUBLIC, {}").format(
            sql.SQL(kind), everybody
        )
        for kind in ("TABLES", "SEQUENCES", "FUNCTIONS")
    ]
    for table, rights in _TABLES.items():
        for group, identifier in groups.items():
            if privileges := getattr(rights, group):
                statements.append(
                    sql.SQL("GRANT {} ON {} TO {}").format(
                        sql.SQL(privileges), sql.Identifier(SCHEMA, table), identifier
                    )
                )
    for function, allowed in _FUNCTIONS.items():
        statements += [
            sql.SQL("GRANT EXECUTE ON FUNCTION {}.{} TO {}").format(
                sql.Identifier(SCHEMA), sql.SQL(function), groups[group]
            )
            for group in allowed
        ]
    return statements + policy_statements(*names.values())


def granted(prefix: str) -> Iterator[tuple[str, str, str, str]]:
    """What the groups have in the schema, as (kind, object, group, privilege). A column's object is
    `table.column`, a function's as Postgres prints it."""
    for group in (Group.ADMIN, Group.READER, Group.TRUST):
        name = group_name(prefix, group)
        yield "schema", SCHEMA, name, "USAGE"
        for table, rights in _TABLES.items():
            for privilege, columns in _PRIVILEGE.findall(getattr(rights, group)):
                if not columns:
                    yield "table", table, name, privilege
                for column in columns.split(", ") if columns else ():
                    yield "column", f"{table}.{column}", name, privilege
        for function, allowed in _FUNCTIONS.items():
            if group in allowed:
                yield "function", function.replace(", ", ","), name, "EXECUTE"


def render(statements: list[sql.Composed]) -> str:
    """The statements as a script for psql."""
    return "".join(f"{statement.as_string(None)};\n" for statement in statements)


def apply(connection: psycopg.Connection[Any], statements: list[sql.Composed]) -> None:
    """Run the statements in one transaction."""
    with translated(), connection.transaction():
        for statement in statements:
            connection.execute(statement)
