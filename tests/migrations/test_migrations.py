"""The schema's history: up, down, up again, twice at once, and against the models."""

import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.alchemy import connect
from core.errors import ConflictError, FlagctlError, UnavailableError
from core.schema_version import NEWEST
from core.services import schema
from core.services.schema import Status, differences, downgrade, head, upgrade
from tests.support.installations import Database, Installation

REVISIONS = [
    path.name[:4]
    for path in sorted((Path(schema.__file__).parents[2] / "migrations/versions").glob("0*.py"))
]


def migrate(database: Database, to: str = "head") -> Status:
    return upgrade(database.owner_url, prefix=database.prefix, to=to)


def status(database: Database) -> Status:
    with connect(database.superuser_url, application_name="test") as connection:
        return schema.status(connection)


def shape(database: Database) -> list[tuple[Any, ...]]:
    """Everything in the schema that a migration could make, in words."""
    return database.ask(
        "SELECT 'column', table_name, column_name, data_type, is_nullable, column_default"
        " FROM information_schema.columns WHERE table_schema = 'flagctl' UNION ALL"
        " SELECT 'constraint', conrelid::regclass::text, conname, pg_get_constraintdef(oid), '', ''"
        " FROM pg_constraint WHERE connamespace = 'flagctl'::regnamespace UNION ALL"
        " SELECT 'index', tablename, indexname, indexdef, '', ''"
        " FROM pg_indexes WHERE schemaname = 'flagctl' UNION ALL"
        " SELECT 'function', proname, oid::regprocedure::text, md5(prosrc), prosecdef::text, ''"
        " FROM pg_proc WHERE pronamespace = 'flagctl'::regnamespace UNION ALL"
        " SELECT 'trigger', tgrelid::regclass::text, tgname, pg_get_triggerdef(oid), '', ''"
        " FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2, 3"
    )


@contextmanager
def holding(database: Database, statement: str) -> Iterator[psycopg.Connection[Any]]:
    """Somebody in the middle of a transaction that did this."""
    with psycopg.connect(database.superuser_url.reveal()) as connection:
        connection.execute(statement.encode())
        yield connection
        connection.rollback()


def test_there_are_migrations_and_they_form_one_line() -> None:
    assert sorted(set(REVISIONS)) == REVISIONS
    assert head() == REVISIONS[-1] == NEWEST


def test_status_before_between_and_after(empty_database: Database) -> None:
    before = status(empty_database)
    assert before.current is None
    assert [name.split()[0] for name in before.pending] == REVISIONS
    migrate(empty_database, REVISIONS[0])
    between = status(empty_database)
    assert (between.current, len(between.pending)) == (REVISIONS[0], len(REVISIONS) - 1)
    assert migrate(empty_database) == between
    assert status(empty_database) == Status(head(), head(), ())


@pytest.mark.parametrize("revision", REVISIONS)
def test_each_migration_goes_down_and_up_again(revision: str, empty_database: Database) -> None:
    place = REVISIONS.index(revision)
    below = REVISIONS[place - 1] if place else "base"
    migrate(empty_database, revision)
    there = shape(empty_database)
    downgrade(empty_database.owner_url, prefix=empty_database.prefix, to=below)
    assert status(empty_database).current == (None if below == "base" else below)
    migrate(empty_database, revision)
    assert shape(empty_database) == there


def test_all_the_way_down_nothing_is_left(empty_database: Database) -> None:
    migrate(empty_database)
    downgrade(empty_database.owner_url, prefix=empty_database.prefix, to="base")
    assert {row[1] for row in shape(empty_database)} <= {"schema_version", "flagctl.schema_version"}


def test_models_and_migrations_agree(installation: Installation) -> None:
    with connect(installation.superuser_url, application_name="test") as connection:
        assert differences(connection) == []


@pytest.mark.parametrize(
    "change",
    [
        "ALTER TABLE flagctl.flags ADD COLUMN extra text",
        "ALTER TABLE flagctl.api_keys DROP COLUMN created_at",
        "ALTER TABLE flagctl.audit_event_revisions ALTER COLUMN revision TYPE integer",
        "ALTER TABLE flagctl.flags ALTER COLUMN owner DROP NOT NULL",
        "DROP INDEX flagctl.tokens_issuer_idx",
        "CREATE TABLE flagctl.extra (a int)",
    ],
)
def test_a_difference_is_seen(change: str, installation: Installation) -> None:
    installation.run(change)
    with connect(installation.superuser_url, application_name="test") as connection:
        assert len(differences(connection)) == 1


def test_upgrading_again_changes_nothing(installation: Installation) -> None:
    before = (shape(installation), installation.ask("SELECT * FROM flagctl.organizations"))
    assert migrate(installation).pending == ()
    assert (shape(installation), installation.ask("SELECT * FROM flagctl.organizations")) == before


def test_upgrading_renews_the_grants(installation: Installation) -> None:
    installation.run(f"REVOKE ALL ON flagctl.flags FROM {installation.prefix}_reader")
    installation.run(f"GRANT SELECT ON flagctl.members TO {installation.prefix}_reader, PUBLIC")
    migrate(installation)
    assert installation.ask("SELECT key FROM flagctl.flags", login="reader") == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        installation.ask("SELECT email FROM flagctl.members", login="reader")


def test_two_upgrades_at_once_end_well(empty_database: Database) -> None:
    refused: list[FlagctlError] = []

    def run() -> None:
        try:
            migrate(empty_database)
        except ConflictError as error:
            refused.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert status(empty_database).pending == ()
    assert len(refused) <= 1
    assert all(e.message.startswith("another upgrade is running: the login ") for e in refused)


def test_while_an_upgrade_runs_another_is_refused(empty_database: Database) -> None:
    key = schema._ADVISORY_LOCK
    with (
        holding(empty_database, f"SELECT pg_advisory_lock({key})"),
        pytest.raises(ConflictError, match="another upgrade is running"),
    ):
        migrate(empty_database)
    assert status(empty_database).current is None
    migrate(empty_database)


def test_a_lock_that_is_held_ends_an_upgrade_in_bounded_time(
    empty_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "_LOCK_TIMEOUT", "200ms")
    migrate(empty_database, REVISIONS[-2])
    before = shape(empty_database)
    with (
        holding(empty_database, "LOCK TABLE flagctl.flags IN ROW EXCLUSIVE MODE"),
        pytest.raises(ConflictError, match="another change holds the lock"),
    ):
        migrate(empty_database)
    assert shape(empty_database) == before, "something is half done"
    assert status(empty_database).current == REVISIONS[-2]
    migrate(empty_database)


def test_who_is_no_owner_cannot_upgrade(empty_database: Database) -> None:
    for url in (empty_database.admin_url, empty_database.reader_url):
        with pytest.raises(UnavailableError, match="this login cannot act as") as caught:
            upgrade(url, prefix=empty_database.prefix)
        assert "flagctl db grants" in caught.value.hint


def test_the_owner_of_tables_and_functions_is_the_group(installation: Installation) -> None:
    owners = installation.ask(
        "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class"
        " WHERE relnamespace = 'flagctl'::regnamespace UNION"
        " SELECT DISTINCT pg_get_userbyid(proowner) FROM pg_proc"
        " WHERE pronamespace = 'flagctl'::regnamespace"
    )
    assert owners == [(f"{installation.prefix}_owner",)]


def test_migrations_are_in_a_package_that_ships() -> None:
    found = {path.name for path in resources.files("migrations").joinpath("versions").iterdir()}
    assert {f"{revision}" for revision in REVISIONS} <= {name[:4] for name in found}
    project = Path(schema.__file__).parents[2] / "pyproject.toml"

    settings = tomllib.loads(project.read_text())
    packages = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert {"core", "flagctl", "migrations", "readserver"} <= set(packages)
    assert resources.files("migrations").joinpath("script.py.mako").is_file()
