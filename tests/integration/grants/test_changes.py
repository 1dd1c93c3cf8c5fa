"""Raw SQL with each login: nothing is written without a change that was begun here."""

import psycopg
import pytest
from psycopg import errors

from core.services.flags import Definition, create_flag
from tests.support.installations import Installation
from tests.support.raw_sql import second_organization

WRITING = [
    "INSERT INTO flagctl.flags (organization_id, key, type, variants, on_variant, off_variant)"
    " VALUES (1, 'x', 'boolean', '{\"on\": true, \"off\": false}', 'on', 'off')",
    "UPDATE flagctl.flags SET default_enabled = NOT default_enabled",
    "DELETE FROM flagctl.flags",
    "UPDATE flagctl.environments SET confirm = NOT confirm",
    "DELETE FROM flagctl.environments WHERE key = 'staging'",
    "UPDATE flagctl.organizations SET name = 'x'",
    "UPDATE flagctl.members SET role = 'viewer'",
    "UPDATE flagctl.tokens SET revoked_at = now()",
]
_SEAL = "SELECT current_setting('flagctl.change', true)"
_BEGIN = "SELECT flagctl.begin_change(%s, NULL, NULL, 'x')"
_WRITE = "UPDATE flagctl.environments SET description = 'mine' WHERE key = 'dev'"


@pytest.mark.parametrize("statement", WRITING)
def test_the_admin_writes_nothing_without_a_change(statement: str, ground: Installation) -> None:
    with (
        ground.connect("admin") as connection,
        pytest.raises(psycopg.Error, match="no change was begun") as caught,
    ):
        connection.execute(statement.encode())
    assert caught.value.sqlstate == "FC003"


@pytest.mark.parametrize("statement", WRITING[:4])
def test_with_a_change_raw_sql_is_recorded_and_raises_revisions(
    statement: str, installation: Installation
) -> None:
    with installation.change() as change:
        create_flag(change, Definition("dark_mode"))
    seq, revisions = installation.last_event(), installation.revisions()
    with installation.connect("admin") as connection, connection.transaction():
        connection.execute(
            "SELECT flagctl.begin_change(%s, NULL, 'by hand', 'psql')",
            [installation.token.reveal()],
        )
        connection.execute(statement.encode())
    expected = 3 if "environments" in statement else 1
    assert installation.last_event() == seq + expected
    raised = {key: n for key, n in installation.revisions().items() if n != revisions[key]}
    assert set(raised) == (set() if "environments" in statement else set(revisions))


def test_a_change_is_over_with_its_transaction(ground: Installation) -> None:
    begin = "SELECT flagctl.begin_change(%s, NULL, NULL, 'psql')"
    with ground.connect("admin") as connection:
        with connection.transaction():
            connection.execute(begin.encode(), [ground.token.reveal()])
        with pytest.raises(psycopg.Error, match="no change was begun"):
            connection.execute("UPDATE flagctl.flags SET default_enabled = NOT default_enabled")


def test_a_change_in_one_organization_writes_in_no_other(installation: Installation) -> None:
    second_organization(installation)
    with installation.connect("admin") as connection, connection.transaction():
        connection.execute(
            "SELECT flagctl.begin_change(%s, NULL, NULL, 'psql')", [installation.token.reveal()]
        )
        done = connection.execute("UPDATE flagctl.organizations SET name = 'x' WHERE key = 'two'")
        assert done.rowcount == 0


def test_the_reader_cannot_begin_a_change(ground: Installation) -> None:
    with ground.connect("reader") as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(
            "SELECT flagctl.begin_change(%s, NULL, NULL, 'x')", [ground.token.reveal()]
        )


@pytest.mark.parametrize("login", ["admin", "owner"])
def test_a_change_that_was_made_up_is_refused(login: str, ground: Installation) -> None:
    change = (
        '{"organization_id": 1, "actor": "ceo@example.com", "actor_name": "ceo", "grants": [],'
        ' "change_id": "00000000-0000-0000-0000-000000000000", "client_version": "x"}'
    )
    for setting in (change, "0" * 64 + " " + change):
        with ground.connect(login) as connection, connection.transaction(force_rollback=True):
            connection.execute("SELECT set_config('flagctl.change', %s, true)", [setting])
            with pytest.raises(psycopg.Error, match="was not begun here") as caught:
                connection.execute(_WRITE)
        assert caught.value.sqlstate == "FC003"


def test_a_change_is_worth_nothing_in_another_transaction(ground: Installation) -> None:
    with ground.connect("admin") as connection:
        with connection.transaction(force_rollback=True):
            connection.execute(_BEGIN, [ground.token.reveal()])
            connection.execute(_WRITE)
            copied = connection.execute(_SEAL).fetchone()
        assert copied is not None
        with connection.transaction(force_rollback=True):
            connection.execute("SELECT set_config('flagctl.change', %s, true)", copied)
            with pytest.raises(psycopg.Error, match="was not begun here"):
                connection.execute(_WRITE)
