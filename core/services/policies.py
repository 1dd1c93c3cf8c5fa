"""Row-level security: which rows each group sees and writes. Renewed together with the grants.

The CLI's group acts for whom `flagctl.begin_change` verified, and without that sees no row. The
functions are asked as `(SELECT f())`: once a statement, not once a row.
"""

from dataclasses import dataclass

from psycopg import sql

_HERE = "organization_id = (SELECT flagctl.current_organization())"
_TRUSTED = "issuer_id IN (SELECT i.id FROM flagctl.issuers i)"  # as their own policy shows them
_KNOWN = "(SELECT flagctl.current_organization()) IS NOT NULL"


def _may(permission: str, column: str = "organization_id") -> str:
    return f"{column} = (SELECT flagctl.organization_where('{permission}'))"


def _everywhere(permission: str) -> str:
    return f"organization_id = (SELECT flagctl.organization_throughout('{permission}'))"


def _somewhere(permission: str) -> str:
    return f"organization_id = (SELECT flagctl.organization_somewhere('{permission}'))"


def _there(permission: str, column: str = "environment_id") -> str:
    return f"{column} = ANY ((SELECT flagctl.environments_where('{permission}'))::bigint[])"


@dataclass(frozen=True, slots=True)
class Policy:
    """What one table lets the CLI's group do. None is nothing."""

    read: str
    insert: str | None = None
    update: str | None = None
    delete: str | None = None
    # A lock on a row needs what an update of it needs; None: the same as `update`.
    lock: str | None = None


ADMIN_POLICIES = {
    "installation": Policy(_KNOWN),
    # Every writer locks its organization's row.
    "organizations": Policy(
        "id = (SELECT flagctl.current_organization())",
        update=_may("govern", "id"),
        lock="id = (SELECT flagctl.current_organization())",
    ),
    "environments": Policy(
        _HERE, insert=_may("govern"), update=_there("administer", "id"), delete=_may("govern")
    ),
    "flags": Policy(
        _HERE,
        insert=_everywhere("edit"),
        update=_everywhere("edit"),
        delete=_everywhere("administer"),
    ),
    "overrides": Policy(_HERE, insert=_there("edit"), update=_there("edit"), delete=_there("edit")),
    # Where a segment is used the gate asks for the right; here it is asked for somewhere.
    "segments": Policy(
        _HERE,
        insert=_somewhere("edit"),
        update=_somewhere("edit"),
        delete=_somewhere("edit"),
    ),
    "configs": Policy(
        _HERE,
        insert=_everywhere("edit"),
        update=_everywhere("edit"),
        delete=_everywhere("administer"),
    ),
    "config_values": Policy(
        _HERE, insert=_there("edit"), update=_there("edit"), delete=_there("edit")
    ),
    "api_keys": Policy(
        _HERE,
        insert=_there("administer"),
        update=_there("administer"),
        delete=_there("administer"),
    ),
    "issuers": Policy(f"{_KNOWN} AND (built_in OR {_HERE})"),
    "issuer_keys": Policy(_TRUSTED),
    # Nobody gives a role to the subjects of an issuer that another organization trusts.
    "members": Policy(
        _HERE,
        insert=f"{_may('govern')} AND {_TRUSTED}",
        update=_may("govern"),
        delete=_may("govern"),
    ),
    "tokens": Policy(
        _HERE,
        insert=f"{_may('govern')} AND {_TRUSTED}",
        update=_may("govern"),
    ),
    "audit_events": Policy(_HERE),
    "audit_event_revisions": Policy(_HERE),
}
# All rows of these, whoever asks: what snapshots are made of, of all organizations.
READER_TABLES = (
    *("snapshot_key", "organizations", "environments", "flags", "overrides"),
    *("segments", "configs", "config_values", "api_keys", "issuers", "issuer_keys"),
)
# The keepers of trust: issuers and their keys, and what their commands name them by.
TRUST_READS = ("organizations", "members", "audit_events")
TRUST_WRITES = ("issuers", "issuer_keys")


@dataclass(frozen=True, slots=True)
class Rule:
    """One policy as Postgres keeps it; `using` and `check` are SQL, None for none."""

    table: str
    name: str
    command: str
    group: str
    using: str | None
    check: str | None = None

    def statement(self) -> sql.Composed:
        clauses = f" USING ({self.using})" if self.using else ""
        clauses += f" WITH CHECK ({self.check})" if self.check else ""
        return sql.SQL("CREATE POLICY {} ON {} FOR {} TO {}{}").format(
            sql.Identifier(self.name),
            sql.Identifier("flagctl", self.table),
            sql.SQL(self.command),
            sql.Identifier(self.group),
            sql.SQL(clauses),
        )


def rules(admin: str, reader: str, trust: str) -> list[Rule]:
    """Every policy, for groups of these names."""
    found = [
        rule for table, policy in ADMIN_POLICIES.items() for rule in _of_admin(table, policy, admin)
    ]
    found += [Rule(table, "readers", "SELECT", reader, "true") for table in READER_TABLES]
    found += [Rule(table, "trust", "SELECT", trust, "true") for table in TRUST_READS]
    found += [Rule(table, "trust", "ALL", trust, "true", "true") for table in TRUST_WRITES]
    # A lock on the organization's row needs an UPDATE that passes; none that writes does.
    found.append(Rule("organizations", "trust_lock", "UPDATE", trust, "true", "false"))
    return found


def policy_statements(admin: str, reader: str, trust: str) -> list[sql.Composed]:
    """Every policy anew."""
    made = [rule.statement() for rule in rules(admin, reader, trust)]
    return [sql.SQL(_DROP_ALL).format(), *made]


def _of_admin(table: str, policy: Policy, group: str) -> list[Rule]:
    found = [Rule(table, "members_read", "SELECT", group, policy.read)]
    if policy.insert:
        found.append(Rule(table, "members_insert", "INSERT", group, None, policy.insert))
    if policy.update:
        lock = policy.lock or policy.update
        found.append(Rule(table, "members_update", "UPDATE", group, lock, policy.update))
    if policy.delete:
        found.append(Rule(table, "members_delete", "DELETE", group, policy.delete))
    return found


_DROP_ALL = """DO $$
DECLARE
    found record;
BEGIN
    FOR found IN SELECT policyname, tablename FROM pg_catalog.pg_policies
        WHERE schemaname = 'flagctl'
    LOOP
        EXECUTE format('DROP POLICY %I ON flagctl.%I', found.policyname, found.tablename);
    END LOOP;
END
$$"""
