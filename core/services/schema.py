"""The schema's version: upgrade, status, and whether the database is what the models say."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import psycopg
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import Script, ScriptDirectory
from psycopg import sql
from sqlalchemy import Connection, text

import migrations
from core import schema_version
from core.alchemy import connect
from core.db import translated
from core.errors import ConflictError, InvalidInputError, UnavailableError
from core.models import Base, load_all
from core.services.grants import SCHEMA, Group, apply, group_name, schema_statements
from core.settings import Secret

_ADVISORY_LOCK = 0x666C616763746C  # "flagctl" in ASCII
_LOCK_HOLDER = (
    "SELECT a.usename, a.pid FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
    " AND l.classid::bigint << 32 | l.objid::bigint = %s"
)
_LOCK_TIMEOUT = "5s"
_STATEMENT_TIMEOUT = "5min"
_FOLDER = Path(migrations.__file__).parent
_VERSIONS: tuple[Path, ...] = (_FOLDER / "versions",)

Watch = Callable[[int, int, str], None]  # how many steps are done, of how many, and the next


@dataclass(frozen=True, slots=True)
class Status:
    """`current` is None in an empty database; `pending` are the steps to `head`, in order."""

    current: str | None
    head: str
    pending: tuple[str, ...]


def head() -> str:
    """The newest migration that this release knows."""
    return cast("str", _scripts().get_current_head())


def status(connection: Connection) -> Status:
    """Needs to read the version table only. Raises UnavailableError where a newer release was."""
    current = _current(connection)
    steps = pending(current)
    return Status(current, head(), tuple(f"{step.revision} {step.doc}" for step in steps))


def pending(current: str | None) -> list[Script]:
    """The migrations that a database at `current` lacks, in order."""
    steps = list(_scripts().walk_revisions())[::-1]
    if current is None:
        return steps
    done = next((i + 1 for i, step in enumerate(steps) if step.revision == current), None)
    if done is None:
        schema_version.check(current)
    return steps[done:]


def upgrade(
    url: Secret, *, prefix: str, to: str = "head", watch: Watch = lambda *_: None
) -> Status:
    """Run what is pending, each migration in a transaction of its own, then renew the grants.

    Returns the status from before. Raises ConflictError when another upgrade runs.
    """
    with as_owner(url, prefix) as connection:
        before = status(connection)
        connection.commit()
        with translated():
            run_migrations(connection, to, _watched(before, watch))
        complete = not status(connection).pending  # the grants speak of the newest schema
        connection.commit()
        if complete:
            apply(driver(connection), schema_statements(prefix))
        return before


def _watched(before: Status, watch: Watch) -> Callable[..., None]:
    """The grants are a step too; they come last."""
    steps = [*before.pending, "grants"]
    done = iter(range(1, len(steps)))

    def applied(**_: Any) -> None:
        number = next(done)
        watch(number, len(steps), steps[number])

    watch(0, len(steps), steps[0])
    return applied


def run_migrations(
    connection: Connection, to: str = "head", applied: Callable[..., None] | None = None
) -> None:
    """In a transaction each, or in the one that is open; `applied` is called after each."""
    config = _config(connection)
    config.attributes["on_version_apply"] = applied
    command.upgrade(config, to)


def downgrade(url: Secret, *, prefix: str, to: str) -> None:
    """Take migrations back. For tests: data goes with the tables."""
    with as_owner(url, prefix) as connection, translated():
        command.downgrade(_config(connection), to)
        connection.commit()


def differences(connection: Connection) -> list[str]:
    """Where the database is not what the models say, one line each."""
    load_all()
    with translated():
        context = MigrationContext.configure(
            connection,
            opts={
                "include_schemas": True,
                "include_name": lambda name, kind, _: kind != "schema" or name == SCHEMA,
                "include_object": lambda _o, name, kind, _r, _c: (
                    kind != "table" or name != "schema_version"
                ),
                "compare_type": True,
                "version_table_schema": SCHEMA,
            },
        )
        return [str(difference) for difference in compare_metadata(context, Base.metadata)]


def driver(connection: Connection) -> psycopg.Connection[Any]:
    """The psycopg connection below a SQLAlchemy one."""
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


@contextmanager
def as_owner(url: Secret, prefix: str) -> Iterator[Connection]:
    """A connection that acts as the owners' group, alone, with bounded waits."""
    role = group_name(prefix, Group.OWNER)
    with connect(url, application_name="flagctl db") as connection:
        raw = driver(connection)
        _refuse_pooler(raw)
        try:
            raw.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidParameterValue):
            raise UnavailableError(
                f"this login cannot act as {role}",
                hint="a superuser runs the output of `flagctl db grants --login NAME --as owner`",
            ) from None
        with translated():
            raw.execute(f"SET lock_timeout = '{_LOCK_TIMEOUT}'")
            raw.execute(f"SET statement_timeout = '{_STATEMENT_TIMEOUT}'")
            row = raw.execute("SELECT pg_try_advisory_lock(%s)", [_ADVISORY_LOCK]).fetchone()
            if row is None or not row[0]:
                who = raw.execute(_LOCK_HOLDER, [_ADVISORY_LOCK]).fetchone() or ("", "")
                raise ConflictError(
                    f"another upgrade is running: the login {who[0]}, pid {who[1]}",
                    hint="wait for it to end; if that is no upgrade, end that session",
                )
            raw.execute(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
            raw.commit()
        yield connection


def _refuse_pooler(connection: psycopg.Connection[Any]) -> None:
    """The lock and the role are a session's; a pooler would keep both for whoever comes next. It
    shows in the process id: a pooler has told its own.
    """
    with translated():
        row = connection.execute("SELECT pg_backend_pid()").fetchone()
    if row is None or row[0] != connection.info.backend_pid:
        raise InvalidInputError(
            "the owner's address leads through a pooler, which an upgrade cannot use",
            hint="set FLAGCTL_OWNER_DATABASE_URL to Postgres itself",
        )


def _current(connection: Connection) -> str | None:
    with translated():
        known = connection.execute(
            text("SELECT to_regclass('flagctl.schema_version') IS NOT NULL")
        ).scalar_one()
        if not known:
            return None
        return connection.execute(
            text("SELECT version_num FROM flagctl.schema_version")
        ).scalar_one_or_none()


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER))
    config.set_main_option("path_separator", "os")
    config.set_main_option("version_locations", os.pathsep.join(map(str, _VERSIONS)))
    if connection is not None:
        config.attributes["connection"] = connection
    return config


def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
