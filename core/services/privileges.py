"""Whether a database grants what it must, and nothing more: `flagctl doctor grants`.

What should be comes from grants.py and policies.py; what is, from the catalogs. Any login may read
those.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from core.db import translated
from core.services import privilege_queries
from core.services.grants import SCHEMA, Group, granted, group_name
from core.services.policies import rules
from core.services.policy_text import normal

_PUBLIC: Final = "PUBLIC"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that differs. `mend` is SQL that a DBA runs; `kind` is "more" or "missing"."""

    kind: str
    what: str
    mend: str


_OWN_KINDS: Final = ("table", "sequence", "function", "schema", "column")
# What a role may set for itself without harm to anybody else.
_HARMLESS_SETTINGS: Final = (
    *("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"),
    *("idle_session_timeout", "transaction_timeout", "application_name", "TimeZone", "DateStyle"),
)
# What nobody may set for everybody: it leads functions astray, or tokens into the log.
_HARMFUL_SETTINGS: Final = (
    *("search_path", "session_replication_role", "row_security", "role", "log_statement"),
    *("log_min_duration_statement", "log_parameter_max_length", "session_preload_libraries"),
    *("log_parameter_max_length_on_error", "local_preload_libraries", "debug_print_parse"),
)


def examine(connection: psycopg.Connection[Any], prefix: str) -> list[Finding]:
    """Everything that differs, what is too much first."""
    groups = {group_name(prefix, group): group for group in Group}
    with translated():
        roles = connection.execute(privilege_queries.ROLES, {"groups": list(groups)}).fetchall()
        names = [row[0] for row in roles]
        whose = {"roles": names, "owner": group_name(prefix, Group.OWNER)}
        acls = connection.execute(privilege_queries.ACLS, whose).fetchall()
        since = connection.execute(privilege_queries.SINCE_INITIALIZED, whose).fetchall()
        owned = connection.execute(privilege_queries.OWNED, whose).fetchall()
        settings = connection.execute(privilege_queries.SETTINGS, whose).fetchall()
        tables = connection.execute(privilege_queries.TABLES).fetchall()
        functions = connection.execute(privilege_queries.FUNCTIONS).fetchall()
        policies = connection.execute(privilege_queries.POLICIES).fetchall()
        database = connection.info.dbname
    found = [
        *_of_roles(roles, groups),
        *_of_settings(settings),
        *_of_acls(list({*acls, *since}), prefix, database),
        *_of_owned(owned, group_name(prefix, Group.OWNER)),
        *_of_tables(tables, group_name(prefix, Group.OWNER)),
        *_of_functions(functions, group_name(prefix, Group.OWNER)),
        *_of_policies(policies, prefix),
    ]
    return sorted(found, key=lambda finding: (finding.kind != "more", finding.what))


def _of_roles(rows: Sequence[tuple[Any, ...]], groups: dict[str, Group]) -> Iterator[Finding]:
    for name in sorted(groups.keys() - {row[0] for row in rows}):
        yield Finding("missing", f"the group {name}", "the output of `flagctl db grants`")
    names = {row[0] for row in rows}
    for name, can_login, attributes, member_of, with_admin in rows:
        is_group = name in groups
        for attribute in attributes:
            yield Finding("more", f"{name} is {attribute}", f"ALTER ROLE {name} NO{attribute}")
        if is_group and can_login:
            yield Finding("more", f"the group {name} can log in", f"ALTER ROLE {name} NOLOGIN")
        own = [role for role in member_of if role in groups]
        # A login is in one group, or in a role that is; a second group is as much more as any
        # other role.
        extra = [role for role in member_of if role not in names or is_group] + (
            [] if is_group else own[1:]
        )
        for role in extra:
            yield Finding("more", f"{name} is in {role}", f"REVOKE {role} FROM {name}")
        for role in with_admin:
            what = f"{name} may give {role} to others"
            yield Finding("more", what, f"REVOKE ADMIN OPTION FOR {role} FROM {name}")


def _of_settings(rows: Sequence[tuple[Any, ...]]) -> Iterator[Finding]:
    for role, database, setting in rows:
        variable = setting.partition("=")[0]
        if variable in _HARMLESS_SETTINGS or (role is None and variable not in _HARMFUL_SETTINGS):
            continue
        who, whose = (role, f"ROLE {role}") if role else ("every role", "ROLE ALL")
        here = f" IN DATABASE {database}" if database else ""
        if database and not role:
            whose, here = f"DATABASE {database}", ""
        yield Finding(
            "more", f"{who} has the setting {setting}", f"ALTER {whose}{here} RESET {variable}"
        )


def _of_owned(rows: Sequence[tuple[Any, ...]], owner: str) -> Iterator[Finding]:
    for role, what in rows:
        yield Finding("more", f"{role} owns {what}", f"REASSIGN OWNED BY {role} TO {owner}")


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
        if who == owner and (kind in _OWN_KINDS or name.startswith(f"{owner} on ")):
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
    if kind == "default privileges":
        role, _, rest = name.partition(" on ")
        objects, _, schema = rest.partition(" in ")
        within = f" IN SCHEMA {schema}" if schema else ""
        return (
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {role}{within}"
            f" REVOKE {privilege} ON {objects} FROM {who}"
        )
    if kind == "column":
        table, _, column = name.rpartition(".")
        place = table if "." in table or table.startswith("pg_") else f"{SCHEMA}.{table}"
        return f"REVOKE {privilege} ({column}) ON {place} FROM {who}"
    place = f"{SCHEMA}.{name}" if kind in ("table", "sequence", "function") else name
    return f"REVOKE {privilege} ON {of} {place} FROM {who}"


def _of_tables(rows: Sequence[tuple[Any, ...]], owner: str) -> Iterator[Finding]:
    for table, has_policies, owned_by, disabled, rewritten in rows:
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
        for rule in rewritten:
            mend = f"DROP RULE {rule} ON {place}"
            yield Finding("more", f"the rule {rule} of {table} is not flagctl's", mend)


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
            normal(rule.using),
            normal(rule.check),
        )
        for rule in rules(*names)
    }
    present = {
        (table, name): (command, roles, permissive, normal(using), normal(check))
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
