"""What `db upgrade --plan` foretells is what Postgres then does."""

from typing import Any

import psycopg
import pytest

from core.alchemy import connect
from core.errors import ConflictError
from core.services import schema, schema_plan
from core.services.schema_locks import MODES, blocks
from core.services.schema_plan import Plan, Step, plan
from tests.migrations.releases import NEXT, THIS, next_release
from tests.support.installations import Database, Installation

_LOCKS = (
    "SELECT c.relname, upper(regexp_replace(replace(l.mode, 'Lock', ''), '(?<!^)([A-Z])', ' \\1',"
    " 'g')) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
    " WHERE l.pid = pg_backend_pid() AND c.relkind = 'r'"
    " AND c.relnamespace = to_regnamespace('flagctl')"
)
_TABLES = (
    "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = to_regnamespace('flagctl')"
)


def planned(database: Database) -> Plan:
    with connect(database.owner_url, application_name="test") as connection:
        return plan(connection, prefix=database.prefix)


def taken(database: Database, step: Step) -> dict[str, str]:
    """The strongest lock on each table that was there, when the statements really run."""
    there = {name for (name,) in database.ask(_TABLES)}
    with psycopg.connect(database.owner_url.reveal()) as connection:
        connection.execute(f"SET ROLE {database.prefix}_owner".encode())
        for statement in step.statements:
            connection.execute(statement.encode())
        rows: list[tuple[str, Any]] = connection.execute(_LOCKS.encode()).fetchall()
        connection.rollback()
    found: dict[str, str] = {}
    for table, mode in rows:
        if table in there and mode in MODES:
            found[table] = max(mode, found.get(table, MODES[0]), key=MODES.index)
    return found


def foretold(step: Step) -> dict[str, str]:
    return {lock.table: lock.mode for lock in step.locks}


def blocking(modes: dict[str, str]) -> dict[str, str]:
    """A function's body is looked at when it is made, which locks a little, and in nobody's way."""
    return {table: mode for table, mode in modes.items() if blocks(mode) != "nothing"}


def test_the_next_release(installation: Installation) -> None:
    before = installation.ask("SELECT xmin FROM flagctl.schema_version")
    with next_release():
        found = planned(installation)
        step, grants = found.steps
        assert (found.current, found.head) == (THIS, NEXT)
        assert (step.revision, step.title) == (
            NEXT,
            "Expand flags: a release that is to come, as polite as every one has to be.",
        )
        assert foretold(step) == {
            "api_keys": "SHARE",
            "flags": "ACCESS EXCLUSIVE",
            "verified_tokens": "ROW EXCLUSIVE",
        }
        assert [lock.blocks for lock in step.locks] == ["writes", "reads and writes", "nothing"]
        assert all(lock.bytes > 0 for lock in step.locks)
        assert step.is_complete
        assert foretold(step) == taken(installation, step)
        assert foretold(grants) == taken(installation, grants)
    assert installation.ask("SELECT xmin FROM flagctl.schema_version") == before


def test_every_migration_can_be_foretold(empty_database: Database) -> None:
    """Each runs as it was shown; where it says so, no lock that holds anybody up was left out."""
    for revision in [script.revision for script in schema.pending(None)]:
        step = planned(empty_database).steps[0]
        assert step.revision == revision
        if step.is_complete and revision != "0001":
            assert blocking(foretold(step)) == blocking(taken(empty_database, step))
        schema.upgrade(empty_database.owner_url, prefix=empty_database.prefix, to=revision)


def test_a_plan_does_not_wait_long(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema_plan, "_LOCK_TIMEOUT", "1ms")
    with psycopg.connect(installation.superuser_url.reveal()) as holder:
        holder.execute("LOCK TABLE flagctl.flags IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(ConflictError, match="another change holds the lock"):
            planned(installation)
