"""Transactions in odd forms: one change is one transaction's, however that is cut up."""

import psycopg
import pytest

from core.services.grants import Group, group_name
from tests.support.grounds import Ground
from tests.support.raw_sql import begin, outcome

_WRITE = "UPDATE flagctl.flags SET default_enabled = NOT default_enabled"
_SEALED = "current_setting('flagctl.change')"


def block(*statements: str) -> bytes:
    return f"DO $do$BEGIN {'; '.join(statements)}; END$do$".encode()


def begun(ground: Ground) -> str:
    return f"PERFORM flagctl.begin_change('{ground.admin.reveal()}', NULL, NULL, 'psql')"


def test_a_block_that_commits_in_its_midst(ground: Ground) -> None:
    """Both transactions have the time of one statement."""
    before = ground.state()
    url = ground.installation.admin_url.reveal()
    with (
        psycopg.connect(url, autocommit=True) as connection,
        pytest.raises(psycopg.Error, match="was not begun here"),
    ):
        connection.execute(
            block(
                begun(ground),
                f"PERFORM set_config('mine.copy', {_SEALED}, false)",
                "COMMIT",
                "PERFORM set_config('flagctl.change', current_setting('mine.copy'), true)",
                _WRITE,
            )
        )
    assert ground.state() == before


def test_a_read_only_seal_never_writes(ground: Ground) -> None:
    """It has no transaction's id in it, as there is none yet; the first write makes one."""
    before = ground.state()
    with ground.connect() as connection:
        connection.execute("SAVEPOINT outer_one")
        connection.execute("SET LOCAL transaction_read_only = on")
        begin(connection, ground.admin)
        copied = connection.execute(f"SELECT {_SEALED}".encode()).fetchone()
        connection.execute("ROLLBACK TO SAVEPOINT outer_one")
        connection.execute("SELECT set_config('flagctl.change', %s, true)", copied)
        assert outcome(connection, _WRITE) == "FC003"
        connection.commit()
    assert ground.state() == before


def test_constraints_cannot_be_put_off(ground: Ground) -> None:
    assert (
        ground.ask(
            "SELECT conname FROM pg_constraint WHERE connamespace = 'flagctl'::regnamespace"
            " AND condeferrable"
        )
        == []
    )
    assert (
        ground.ask(
            "SELECT tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
            " WHERE c.relnamespace = 'flagctl'::regnamespace AND (tgdeferrable OR tgenabled <> 'O')"
        )
        == []
    )


def test_what_a_savepoint_takes_back_is_not_in_the_log(own_ground: Ground) -> None:
    """And what comes after takes the next number: there is no gap."""
    last = own_ground.installation.last_event()
    with own_ground.connect() as connection:
        begin(connection, own_ground.admin)
        for _ in range(3):
            connection.execute("SAVEPOINT trial")
            assert outcome(connection, _WRITE) == "1 rows"
            connection.execute("ROLLBACK TO SAVEPOINT trial")
        assert outcome(connection, "UPDATE flagctl.flags SET salt = 'new'") == "1 rows"
        connection.commit()
    assert own_ground.installation.last_event() == last + 1
    assert own_ground.ask(
        "SELECT count(*) = max(seq) FROM flagctl.audit_events WHERE organization_id = 1"
    ) == [(True,)]


def test_one_entity_changes_once_in_a_change(ground: Ground) -> None:
    """Its event tells before and after: a second one would hide what was between."""
    before = ground.state()
    with ground.connect() as connection:
        begin(connection, ground.admin)
        assert outcome(connection, "UPDATE flagctl.flags SET salt = 'a'") == "1 rows"
        assert outcome(connection, "UPDATE flagctl.flags SET salt = 'b'") == "23505"
        connection.rollback()
    assert ground.state() == before


def test_what_a_cursor_does_at_the_commit_is_part_of_the_change(own_ground: Ground) -> None:
    """WITH HOLD runs its query in the commit itself; it finds the change still sealed, or none."""
    with own_ground.connect() as connection:
        begin(connection, own_ground.viewer)
        connection.execute(
            "DECLARE held CURSOR WITH HOLD FOR SELECT key, set_config('flagctl.change', '', true)"
            " FROM flagctl.flags"
        )
        connection.commit()
        rows = connection.execute("FETCH ALL FROM held").fetchall()
        assert {key for key, _ in rows} <= {"checkout"}
        assert outcome(connection, "SELECT key FROM flagctl.flags") == "0 rows"


def test_a_filling_queue_gets_no_hint_and_fails_no_commit(own_ground: Ground) -> None:
    """Nobody fills eight gigabytes here, so the limit is moved."""
    made = own_ground.installation
    (definition,) = own_ground.ask(
        "SELECT pg_get_functiondef('flagctl.notify_revision()'::regprocedure)"
    )[0]
    assert "pg_notification_queue_usage() < 0.5" in definition
    made.run(definition.replace("usage() < 0.5", "usage() < 0"))
    before = own_ground.revisions()
    with made.connect("reader") as listener:
        listener.execute("LISTEN flagctl_revisions")
        with own_ground.connect() as connection:
            begin(connection, own_ground.admin)
            assert outcome(connection, _WRITE) == "1 rows"
            connection.commit()
            connection.execute("NOTIFY flagctl_revisions, 'the end'")
            connection.commit()
        heard = [n.payload for n in listener.notifies(timeout=10, stop_after=1)]
    assert heard == ["the end"]
    assert own_ground.revisions() == {key: number + 1 for key, number in before.items()}


@pytest.mark.parametrize("group", [Group.ADMIN, Group.READER, Group.TRUST])
def test_no_login_gives_its_group_away(group: Group, ground: Ground) -> None:
    name = group_name(ground.installation.prefix, group)
    with ground.connect(group.value) as connection:
        for statement in (
            f"GRANT {name} TO PUBLIC",
            f"GRANT {name} TO {ground.installation.prefix}_reader_login",
            f"ALTER ROLE {name} LOGIN PASSWORD 'x'",
            f"GRANT SELECT ON flagctl.schema_version TO {ground.installation.prefix}_reader_login",
            "REASSIGN OWNED BY CURRENT_USER TO PUBLIC",
            f"ALTER DEFAULT PRIVILEGES FOR ROLE {ground.installation.prefix}_owner"
            f" GRANT ALL ON TABLES TO {name}",
        ):
            assert outcome(connection, statement) in {"42501", "42704", "42601", "01007", "-1 rows"}
        connection.commit()
    assert ground.ask(
        "SELECT has_table_privilege('public', 'flagctl.schema_version', 'SELECT')"
    ) == [(False,)]
