"""Whether a database grants what it must, and nothing more: `flagctl doctor grants`.

What should be comes from grants.py and policies.py; what is, from the catalogs. Any login may read
those.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from core.db import translated
from core.services.grants import SCHEMA, Group, granted, group_name
from core.services.policies import rules

_PUBLIC: Final = "PUBLIC"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that differs. `mend` is SQL that a DBA runs; `kind` is "more" or "missing"."""

    kind: str
    what: str
    mend: str


# Every grant to one of our roles or to PUBLIC: (kind, object, grantee, privilege, grantable).
_ACLS: Final = """
WITH ours AS (SELECT oid, rolname FROM pg_roles WHERE rolname = ANY (%(roles)s)
        UNION ALL SELECT 0, 'PUBLIC'),
    acls (kind, object, acl) AS (
        SELECT 'table', c.relname, coalesce(c.relacl, acldefault('r', c.relowner)) FROM pg_class c
            WHERE c.relnamespace = 'flagctl'::regnamespace AND c.relkind IN ('r', 'v', 'm', 'p')
        UNION ALL SELECT 'sequence', c.relname, coalesce(c.relacl, acldefault('s', c.relowner))
            FROM pg_class c
            WHERE c.relnamespace = 'flagctl'::regnamespace AND c.relkind = 'S'
        UNION ALL SELECT 'relation', c.oid::regclass::text, c.relacl FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE n.nspname NOT IN ('flagctl', 'pg_catalog', 'information_schema', 'pg_toast')
        UNION ALL SELECT 'column', c.relname || '.' || a.attname, a.attacl
            FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
            WHERE c.relnamespace = 'flagctl'::regnamespace AND NOT a.attisdropped
        UNION ALL SELECT 'function', regexp_replace(p.oid::regprocedure::text, '^flagctl\\.', ''),
            coalesce(p.proacl, acldefault('f', p.proowner)) FROM pg_proc p
            WHERE p.pronamespace = 'flagctl'::regnamespace
        UNION ALL SELECT 'built-in function', p.oid::regprocedure::text,
            coalesce(p.proacl, acldefault('f', p.proowner)) FROM pg_proc p
            WHERE p.pronamespace = 'pg_catalog'::regnamespace AND (p.proname LIKE 'lo\\_%%'
                OR p.proname IN ('loread', 'lowrite', 'pg_logical_emit_message')
                OR p.proname LIKE 'pg\\_%%advisory%%')
        UNION ALL SELECT 'schema', n.nspname, coalesce(n.nspacl, acldefault('n', n.nspowner))
            FROM pg_namespace n WHERE n.nspname NOT LIKE 'pg\\_%%'
                AND n.nspname <> 'information_schema'
        UNION ALL SELECT 'database', d.datname, coalesce(d.datacl, acldefault('d', d.datdba))
            FROM pg_database d WHERE d.datname = current_database()
        UNION ALL SELECT 'default privileges of', r.rolname, a.defaclacl
            FROM pg_default_acl a JOIN pg_roles r ON r.oid = a.defaclrole
        UNION ALL SELECT 'parameter', p.parname, p.paracl FROM pg_parameter_acl p
        UNION ALL SELECT 'large object', l.oid::text, l.lomacl FROM pg_largeobject_metadata l
        UNION ALL SELECT 'foreign server', s.srvname, s.srvacl FROM pg_foreign_server s
        UNION ALL SELECT 'tablespace', t.spcname, t.spcacl FROM pg_tablespace t)
SELECT a.kind, a.object, o.rolname, e.privilege_type, e.is_grantable
FROM acls a CROSS JOIN LATERAL aclexplode(a.acl) e JOIN ours o ON o.oid = e.grantee
"""
_ROLES: Final = """
WITH RECURSIVE ours AS (SELECT oid FROM pg_roles WHERE rolname = ANY (%(groups)s)
    UNION SELECT m.member FROM pg_auth_members m JOIN ours ON ours.oid = m.roleid)
SELECT r.rolname, r.rolcanlogin, array_remove(ARRAY[
        CASE WHEN r.rolsuper THEN 'SUPERUSER' END, CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
        CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
        CASE WHEN r.rolreplication THEN 'REPLICATION' END,
        CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END], NULL),
    ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
        WHERE m.member = r.oid ORDER BY 1),
    ARRAY(SELECT g.rolname::text FROM pg_auth_members m JOIN pg_roles g ON g.oid = m.roleid
        WHERE m.member = r.oid AND m.admin_option ORDER BY 1),
    ARRAY(SELECT unnest(s.setconfig) FROM pg_db_role_setting s WHERE s.setrole = r.oid)
FROM pg_roles r JOIN ours ON ours.oid = r.oid ORDER BY 1
"""
_TABLES: Final = """
SELECT c.relname, c.relrowsecurity, pg_get_userbyid(c.relowner),
    ARRAY(SELECT t.tgname::text FROM pg_trigger t
        WHERE t.tgrelid = c.oid AND NOT t.tgisinternal AND t.tgenabled <> 'O')
FROM pg_class c WHERE c.relnamespace = 'flagctl'::regnamespace AND c.relkind = 'r' ORDER BY 1
"""
_FUNCTIONS: Final = """
SELECT p.oid::regprocedure::text, pg_get_userbyid(p.proowner),
    NOT p.prosecdef OR EXISTS (SELECT FROM unnest(p.proconfig) s
        WHERE s = 'search_path=pg_catalog, pg_temp')
FROM pg_proc p WHERE p.pronamespace = 'flagctl'::regnamespace ORDER BY 1
"""
_POLICIES: Final = """
SELECT tablename, policyname, cmd, roles::text[], permissive, qual, with_check
FROM pg_policies WHERE schemaname = 'flagctl'
"""
_OWN_KINDS: Final = ("table", "sequence", "function", "schema", "column")
# What a role may set for itself without harm to anybody else.
_HARMLESS_SETTINGS: Final = (
    *("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"),
    *("idle_session_timeout", "transaction_timeout", "application_name", "TimeZone", "DateStyle"),
)


def examine(connection: psycopg.Connection[Any], prefix: str) -> list[Finding]:
    """Everything that differs, what is too much first."""
    groups = {group_name(prefix, group): group for group in Group}
    with translated():
        roles = connection.execute(_ROLES, {"groups": list(groups)}).fetchall()
        names = [row[0] for row in roles]
        acls = connection.execute(_ACLS, {"roles": names}).fetchall()
        tables = connection.execute(_TABLES).fetchall()
        functions = connection.execute(_FUNCTIONS).fetchall()
        policies = connection.execute(_POLICIES).fetchall()
        database = connection.info.dbname
    found = [
        *_of_roles(roles, groups),
        *_of_acls(acls, prefix, database),
        *_of_tables(tables, group_name(prefix, Group.OWNER)),
        *_of_functions(functions, group_name(prefix, Group.OWNER)),
        *_of_policies(policies, prefix),
    ]
    return sorted(found, key=lambda finding: (finding.kind != "more", finding.what))


def _of_roles(rows: Sequence[tuple[Any, ...]], groups: dict[str, Group]) -> Iterator[Finding]:
    for name in sorted(groups.keys() - {row[0] for row in rows}):
        yield Finding("missing", f"the group {name}", "the output of `flagctl db grants`")
    for name, can_login, attributes, member_of, with_admin, settings in rows:
        is_group = name in groups
        for attribute in attributes:
            yield Finding("more", f"{name} is {attribute}", f"ALTER ROLE {name} NO{attribute}")
        if is_group and can_login:
            yield Finding("more", f"the group {name} can log in", f"ALTER ROLE {name} NOLOGIN")
        own = [role for role in member_of if role in groups]
        # A login is in one group; a second one is as much more as any other role.
        extra = [role for role in member_of if role not in groups or is_group] + (
            [] if is_group else own[1:]
        )
        for role in extra:
            yield Finding("more", f"{name} is in {role}", f"REVOKE {role} FROM {name}")
        for role in with_admin:
            what = f"{name} may give {role} to others"
            yield Finding("more", what, f"REVOKE ADMIN OPTION FOR {role} FROM {name}")
        for setting in settings:
            variable = setting.partition("=")[0]
            if variable not in _HARMLESS_SETTINGS:
                mend = f"ALTER ROLE {name} RESET {variable}"
                yield Finding("more", f"{name} has the setting {setting}", mend)


def _of_acls(rows: Sequence[tuple[Any, ...]], prefix: str, database: str) -> Iterator[Finding]:
    owner = group_name(prefix, Group.OWNER)
    expected = set(granted(prefix))
    expected |= {("database", database, group_name(prefix, group), "CONNECT") for group in Group}
    expected.add(("database", database, owner, "CREATE"))
    lock = "pg_try_advisory_lock(bigint)"
    expected.add(("built-in function", lock, owner, "EXECUTE"))
    present = {(kind, name, who, privilege) for kind, name, who, privilege, _ in rows}
    for kind, name, who, privilege, is_grantable in sorted(rows):
        # What the owner has on its own is its own.
        if who == owner and (kind in _OWN_KINDS or name == owner):
            continue
        if (kind, name, who, privilege) not in expected:
            what = f"{who} has {privilege} on {kind} {name}"
            yield Finding("more", what, _revoke(kind, name, who, privilege))
        elif is_grantable:
            what = f"{who} may grant {privilege} on {kind} {name}"
            mend = _revoke(kind, name, who, f"GRANT OPTION FOR {privilege}")
            yield Finding("more", what, mend)
    for kind, name, who, privilege in sorted(expected - present):
        what = f"{who} lacks {privilege} on {kind} {name}"
        yield Finding("missing", what, "`flagctl db upgrade`, or what `flagctl db grants` prints")


def _revoke(kind: str, name: str, who: str, privilege: str) -> str:
    of = {"built-in function": "function", "relation": "table"}.get(kind, kind).upper()
    if kind == "default privileges of":
        return f"ALTER DEFAULT PRIVILEGES FOR ROLE {name} REVOKE {privilege} … FROM {who}"
    if kind == "column":
        table, _, column = name.partition(".")
        return f"REVOKE {privilege} ({column}) ON {SCHEMA}.{table} FROM {who}"
    place = f"{SCHEMA}.{name}" if kind in ("table", "sequence", "function") else name
    return f"REVOKE {privilege} ON {of} {place} FROM {who}"


def _of_tables(rows: Sequence[tuple[Any, ...]], owner: str) -> Iterator[Finding]:
    for table, has_policies, owned_by, disabled in rows:
        place = f"{SCHEMA}.{table}"
        if not has_policies and table != "schema_version":
            mend = f"ALTER TABLE {place} ENABLE ROW LEVEL SECURITY"
            yield Finding("more", f"row-level security is off on {table}", mend)
        if owned_by != owner:
            mend = f"ALTER TABLE {place} OWNER TO {owner}"
            yield Finding("more", f"{owned_by} owns the table {table}", mend)
        for trigger in disabled:
            mend = f"ALTER TABLE {place} ENABLE TRIGGER {trigger}"
            yield Finding("more", f"the trigger {trigger} of {table} is not enabled", mend)


def _of_functions(rows: Sequence[tuple[Any, ...]], owner: str) -> Iterator[Finding]:
    for function, owned_by, is_safe in rows:
        if owned_by != owner:
            mend = f"ALTER FUNCTION {function} OWNER TO {owner}"
            yield Finding("more", f"{owned_by} owns the function {function}", mend)
        if not is_safe:
            mend = f"ALTER FUNCTION {function} SET search_path = pg_catalog, pg_temp"
            yield Finding("more", f"{function} runs with a search path of the caller's", mend)


def _of_policies(rows: Sequence[tuple[Any, ...]], prefix: str) -> Iterator[Finding]:
    names = [group_name(prefix, group) for group in (Group.ADMIN, Group.READER, Group.TRUST)]
    expected = {
        (rule.table, rule.name): (
            rule.command,
            [rule.group],
            "PERMISSIVE",
            _plain(rule.using),
            _plain(rule.check),
        )
        for rule in rules(*names)
    }
    present = {
        (table, name): (command, roles, permissive, _plain(using), _plain(check))
        for table, name, command, roles, permissive, using, check in rows
    }
    anew = "`flagctl db upgrade` makes the policies anew"
    for table, name in sorted(present.keys() - expected.keys()):
        mend = f"DROP POLICY {name} ON {SCHEMA}.{table}"
        yield Finding("more", f"the policy {name} of {table} is not flagctl's", mend)
    for key in sorted(expected.keys() - present.keys()):
        yield Finding("missing", f"the policy {key[1]} of {key[0]}", anew)
    for key in sorted(expected.keys() & present.keys()):
        if expected[key] != present[key]:
            yield Finding("more", f"the policy {key[1]} of {key[0]} is another", anew)


def _plain(expression: str | None) -> str:
    """An SQL expression without what Postgres adds when it prints one: casts, brackets, aliases."""
    text = re.sub(r"\bAS \w+|::[\w\[\]]+|[\s()]", " ", expression or "", flags=re.IGNORECASE)
    return re.sub(r"\s+", " ", text).strip().lower()
