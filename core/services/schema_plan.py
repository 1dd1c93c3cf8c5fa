"""What `db upgrade` would do: the pending steps, their statements, and whom their locks hold up."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import StringIO
from types import ModuleType

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, text

from core.db import translated
from core.services import schema, schema_locks
from core.services.grants import schema_statements
from core.services.schema_locks import Statement

_LOCK_TIMEOUT = "1s"
_TABLES = text(
    "SELECT relname, greatest(reltuples, 0)::bigint, pg_total_relation_size(oid)"
    " FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = to_regnamespace('flagctl')"
)


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock on a table that is there now. `rows` is Postgres's estimate."""

    table: str
    mode: str
    blocks: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction. `is_complete` tells whether every lock can be foretold."""

    revision: str
    title: str
    statements: tuple[str, ...]
    locks: tuple[Lock, ...]
    is_complete: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """`current` is None in an empty database. The last step renews grants and policies."""

    current: str | None
    head: str
    steps: tuple[Step, ...]


def plan(connection: Connection, *, prefix: str) -> Plan:
    """Read what is pending; nothing of it is run. Raises ConflictError when a table is locked that
    it wants to know the size of.
    """
    schema.driver(connection).read_only = True
    before = schema.status(connection)
    with translated():
        connection.execute(text(f"SET LOCAL lock_timeout = '{_LOCK_TIMEOUT}'"))
        sizes = {name: (rows, size) for name, rows, size in connection.execute(_TABLES)}
    steps = [
        _step(script.revision, script.doc, _recorded(script.module), sizes)
        for script in schema.pending(before.current)
    ]
    raw = schema.driver(connection)
    renewal = ";\n".join(part.as_string(raw) for part in schema_statements(prefix))
    last = _step("grants", "Renew the grants and policies", renewal, sizes)
    # Its one obscure statement drops the policies that the others make anew.
    steps.append(replace(last, is_complete=True))
    return Plan(before.current, before.head, tuple(steps))


def _recorded(module: ModuleType) -> str:
    """What a migration would send."""
    script = StringIO()
    context = MigrationContext.configure(
        dialect_name="postgresql", opts={"as_sql": True, "output_buffer": script}
    )
    with Operations.context(context):
        module.upgrade()
    return script.getvalue()


def _step(revision: str, title: str, script: str, sizes: dict[str, tuple[int, int]]) -> Step:
    found = schema_locks.statements(script)
    return Step(
        revision,
        title,
        tuple(statement.text for statement in found),
        tuple(_locks(found, sizes)),
        not any(statement.is_obscure for statement in found),
    )


def _locks(found: list[Statement], sizes: dict[str, tuple[int, int]]) -> Iterator[Lock]:
    for table, mode in schema_locks.strongest_by_table(found).items():
        if table in sizes:  # nobody waits for one that is new
            yield Lock(table, mode, schema_locks.blocks(mode), *sizes[table])
