"""Nobody acts under a name that Postgres did not verify, in a transaction that it did not seal."""

import json

import psycopg
import pytest

from core.auth.actor import Role
from core.services import members
from core.services.tokens import revoke_token
from tests.support.grounds import Ground
from tests.support.raw_sql import begin, described, outcome

_WRITE = "UPDATE flagctl.flags SET default_enabled = NOT default_enabled"
_READ = "SELECT key FROM flagctl.flags"
_COPY = "SELECT current_setting('flagctl.change')"


@pytest.mark.parametrize("scope", ["SET", "SET LOCAL"])
def test_a_setting_of_ones_own_making(scope: str, ground: Ground) -> None:
    change = json.dumps({"organization_id": 1, "actor": "x", "is_owner": True, "rights": {}})
    for setting in (change, f"{'0' * 64} {change}", "x", " " * 70):
        with ground.connect() as connection:
            connection.execute(f"{scope} flagctl.change = '{setting}'".encode())
            assert outcome(connection, _WRITE) == "FC003"
            assert outcome(connection, _READ) == "FC003"


def test_a_setting_copied_to_another_transaction(ground: Ground) -> None:
    with ground.connect() as connection:
        begin(connection, ground.admin)
        copied = connection.execute(_COPY).fetchone()
        connection.commit()
        connection.execute("SELECT set_config('flagctl.change', %s, true)", copied)
        assert outcome(connection, _READ) == "FC003"
        assert outcome(connection, _WRITE) == "FC003"


def test_a_setting_copied_to_another_session(ground: Ground) -> None:
    with ground.connect() as first, ground.connect() as second:
        begin(first, ground.admin)
        copied = first.execute(_COPY).fetchone()
        second.execute("SELECT set_config('flagctl.change', %s, true)", copied)
        assert outcome(second, _READ) == "FC003"


@pytest.mark.parametrize("first", ["BEGIN", "BEGIN READ ONLY"])
def test_two_transactions_in_one_message(first: str, ground: Ground) -> None:
    """They have one transaction_timestamp(): the seal must tell them apart all the same."""
    before = ground.state()
    script = f"""
        {first};
        SELECT flagctl.begin_change('{ground.admin.reveal()}', NULL, NULL, 'psql');
        SELECT set_config('mine.copy', current_setting('flagctl.change'), false);
        COMMIT;
        BEGIN;
        SELECT set_config('flagctl.change', current_setting('mine.copy'), true);
        {_WRITE};
        COMMIT"""
    url = ground.installation.admin_url.reveal()
    with (
        psycopg.connect(url, autocommit=True) as connection,
        pytest.raises(psycopg.Error, match="was not begun here"),
    ):
        connection.execute(script.encode())
    assert ground.state() == before


def test_one_change_a_transaction(ground: Ground) -> None:
    with ground.connect() as connection:
        begin(connection, ground.viewer)
        with pytest.raises(psycopg.Error, match="has begun a change already"):
            begin(connection, ground.admin)


def test_a_change_that_a_savepoint_took_back(ground: Ground) -> None:
    with ground.connect() as connection:
        connection.execute("SAVEPOINT before")
        begin(connection, ground.admin)
        assert outcome(connection, _WRITE) == "1 rows"
        copied = connection.execute(_COPY).fetchone()
        connection.execute("ROLLBACK TO SAVEPOINT before")
        assert outcome(connection, _WRITE) == "FC003"
        assert outcome(connection, _READ) == "0 rows"
        begin(connection, ground.viewer)
        connection.execute("SELECT set_config('flagctl.change', %s, true)", copied)
        assert outcome(connection, _WRITE) == "1 rows"  # still the admin's own token, and time
        connection.rollback()


def test_without_a_token_nothing_is_seen(ground: Ground) -> None:
    with ground.connect() as connection:
        tables = ground.ask(
            "SELECT relname FROM pg_class WHERE relnamespace = 'flagctl'::regnamespace"
            " AND relkind = 'r' AND relname <> 'schema_version'"
        )
        assert len(tables) > 15
        for (table,) in tables:
            seen = outcome(connection, f"SELECT organization_id FROM flagctl.{table}")
            assert seen in ("0 rows", "42501", "42703"), table
            assert outcome(connection, f"SELECT count(*) FROM flagctl.{table}") in (
                *("1 rows", "42501"),
            )


def test_what_somebody_left_on_a_pooled_connection_is_in_nobodys_way(ground: Ground) -> None:
    with ground.connect() as connection:
        connection.execute("SET flagctl.change = 'x'")
        connection.commit()
        for _ in range(2):
            begin(connection, ground.viewer)
            assert outcome(connection, _READ) == "1 rows"
            connection.commit()
            assert outcome(connection, _READ) == "FC003"
            connection.rollback()


def test_the_next_one_on_a_pooled_connection_is_nobody(ground: Ground) -> None:
    with ground.connect() as connection:
        begin(connection, ground.admin)
        connection.execute("PREPARE everything AS SELECT key FROM flagctl.flags ORDER BY key")
        assert connection.execute("EXECUTE everything").fetchall() == [("checkout",)]
        connection.commit()
        assert connection.execute("EXECUTE everything").fetchall() == []
        connection.commit()
        begin(connection, ground.foreign_admin)
        assert connection.execute("EXECUTE everything").fetchall() == [("theirs",)]


def test_a_token_revoked_while_its_transaction_is_open(own_ground: Ground) -> None:
    made = own_ground.installation
    issued = made.issue("admin@example.com")
    with own_ground.connect() as connection:
        with made.change() as change:  # has the lock: the other begins without it
            row = connection.execute(
                "SELECT flagctl.begin_change(%s, NULL, NULL, 'psql') ->> 'is_locked'",
                [issued.token],
            ).fetchone()
            assert row == ("false",)
            revoke_token(change, str(issued.id))
        state, said = described(connection, _WRITE)
    assert (state, "revoked, or ended, meanwhile" in said) == ("FC003", True)


def test_a_key_revoked_while_a_transaction_is_open(own_ground: Ground) -> None:
    with own_ground.connect() as connection:
        with own_ground.installation.owner_change() as change:
            begin(connection, own_ground.admin)
            change.session.connection.sqlalchemy.exec_driver_sql(
                "UPDATE flagctl.issuer_keys SET revoked_at = now()"
            )
        assert outcome(connection, _WRITE) == "FC003"


@pytest.mark.parametrize("what", ["removed", "made a viewer"])
def test_a_role_lost_while_a_transaction_is_open(what: str, own_ground: Ground) -> None:
    made = own_ground.installation
    token = made.token_for("editor", email="ed@example.com")
    with own_ground.connect() as connection:
        with made.change() as change:
            begin(connection, token)
            if what == "removed":
                members.remove_member(change, "ed@example.com", None)
            else:
                members.add_member(change, "ed@example.com", Role.VIEWER, None)
        state, said = described(connection, _WRITE)
    assert (state, "your roles were changed meanwhile" in said) == ("FC004", True)


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SERIALIZABLE"])
def test_an_old_snapshot_hides_no_revocation(level: str, ground: Ground) -> None:
    with ground.connect() as connection:
        connection.execute(f"SET TRANSACTION ISOLATION LEVEL {level}".encode())
        begin(connection, ground.admin)
        assert outcome(connection, _READ) == "1 rows"
        assert outcome(connection, _WRITE) == "FC002"


def test_a_transaction_that_is_kept_open(own_ground: Ground) -> None:
    """Nobody can wait ten minutes here, so the limit is moved."""
    (definition,) = own_ground.ask(
        "SELECT pg_get_functiondef('flagctl.current_change()'::regprocedure)"
    )[0]
    assert "'10 minutes'" in definition
    own_ground.installation.run(definition.replace("'10 minutes'", "'0 minutes'"))
    with own_ground.connect() as connection:
        begin(connection, own_ground.admin)
        state, said = described(connection, _READ)
    assert (state, "open for more than ten minutes" in said) == ("FC003", True)


def test_a_remembered_token_is_refused_like_any_other(own_ground: Ground) -> None:
    made = own_ground.installation
    issued = made.issue("admin@example.com")
    with own_ground.connect() as connection:
        connection.execute("SELECT flagctl.begin_change(%s, NULL, NULL, 'psql')", [issued.token])
    known = "SELECT count(*) FROM flagctl.verified_tokens WHERE digest = sha256(%s)"
    assert own_ground.ask(known, [issued.token.encode()]) == [(1,)]
    with made.change() as change:
        revoke_token(change, str(issued.id))
    with own_ground.connect() as connection, pytest.raises(psycopg.Error, match="been revoked"):
        connection.execute("SELECT flagctl.begin_change(%s, NULL, NULL, 'psql')", [issued.token])
    made.govern("UPDATE flagctl.issuers SET audience = 'other'")
    with own_ground.connect() as connection, pytest.raises(psycopg.Error, match="audience"):
        begin(connection, own_ground.admin)


def test_nobody_makes_postgres_remember_a_token(ground: Ground) -> None:
    with ground.connect() as connection:
        begin(connection, ground.admin)
        for attempt in (
            "SELECT flagctl.remember_token('{}', 1)",
            "SELECT * FROM flagctl.verified_tokens",
            "INSERT INTO flagctl.verified_tokens VALUES ('', '', '{}', '{}', now(), 1)",
        ):
            assert outcome(connection, attempt) == "42501"
