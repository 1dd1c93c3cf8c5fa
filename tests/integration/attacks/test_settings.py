"""Settings that any login may set: for a session, for its own role, on a connection of a pool."""

import psycopg
import pytest
from psycopg import sql

from tests.support.grounds import Ground
from tests.support.raw_sql import begin, outcome

_WRITE = "UPDATE flagctl.flags SET default_enabled = NOT default_enabled"
_BY_AN_EDITOR = [
    _WRITE,
    "UPDATE flagctl.members SET role = 'admin'",
    "UPDATE flagctl.config_values SET value = '9' WHERE environment_id ="
    " (SELECT id FROM flagctl.environments WHERE key = 'prod')",
]
# What changes how functions of the owner read their own texts, or show times.
ODD = [
    "standard_conforming_strings = off",
    "transform_null_equals = on",
    "array_nulls = off",
    "quote_all_identifiers = on",
    "bytea_output = 'escape'",
    "DateStyle = 'SQL, DMY'",
    "TimeZone = 'Pacific/Kiritimati'",
    "extra_float_digits = -15",
    "client_encoding = 'LATIN1'",
    "plan_cache_mode = force_generic_plan",
    "search_path = ''",
    "client_min_messages = debug5",
    "synchronous_commit = off",
    "enable_seqscan = off",
]


@pytest.mark.parametrize("setting", ODD)
def test_no_setting_gives_a_right(setting: str, ground: Ground) -> None:
    before = ground.state()
    with ground.connect() as connection:
        connection.execute(f"SET LOCAL {setting}".encode())
        try:
            begin(connection, ground.editor_of_dev)
        except psycopg.Error as error:
            assert error.sqlstate in {"FC003", "22P02", "22021"}  # noqa: PT017 - it may fail, too
            return
        for statement in _BY_AN_EDITOR:
            assert outcome(connection, statement) in {"0 rows", "FC004"}, statement
        connection.commit()
    assert ground.state() == before


@pytest.mark.parametrize("setting", ODD)
def test_nor_does_a_bad_signature_become_good(setting: str, ground: Ground) -> None:
    text = ground.admin.reveal()
    last = {"A": "Q", "Q": "A"}.get(text[-3], "A")
    forged = text[:-3] + last + text[-2:]
    with ground.connect() as connection:
        connection.execute(f"SET LOCAL {setting}".encode())
        state = outcome(connection, "SELECT flagctl.begin_change(%s, NULL, NULL, 'psql')", [forged])
    assert state in {"FC003", "22P02", "22021"}


def test_what_was_left_on_a_pooled_connection_shuts_nobody_out(ground: Ground) -> None:
    with ground.connect() as connection:
        begin(connection, ground.viewer)
        connection.execute(
            "SELECT set_config('flagctl.change', current_setting('flagctl.change'), false)"
        )
        connection.commit()
        for left in (None, "x", "0" * 64 + " {}"):
            if left:
                connection.execute("SELECT set_config('flagctl.change', %s, false)", [left])
                connection.commit()
            assert outcome(connection, _WRITE) == "FC003"
            assert begin(connection, ground.admin)["actor"] == "admin@example.com"
            assert outcome(connection, _WRITE) == "1 rows"
            connection.rollback()


def test_what_a_role_sets_for_itself_shuts_nobody_out(own_ground: Ground) -> None:
    """It holds for every later session of the login, which colleagues should not share."""
    made = own_ground.installation
    login = sql.Identifier(f"{made.prefix}_admin_login")
    with made.connect("admin") as connection:
        for setting in ("search_path = ''", "row_security = off"):
            connection.execute(
                sql.SQL("ALTER ROLE {} IN DATABASE {} SET ").format(
                    login, sql.Identifier(made.name)
                )
                + sql.SQL(setting)
            )
    with own_ground.connect() as connection:
        begin(connection, own_ground.admin)
        assert outcome(connection, _WRITE) == "42501"  # row_security = off: refused, not seen
        connection.execute("SET LOCAL row_security = on")
        assert outcome(connection, _WRITE) == "1 rows"


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER ROLE CURRENT_USER CONNECTION LIMIT -1",
        "ALTER ROLE CURRENT_USER VALID UNTIL 'infinity'",
        "ALTER ROLE CURRENT_USER BYPASSRLS",
        "ALTER ROLE CURRENT_USER CREATEROLE",
        "ALTER ROLE CURRENT_USER INHERIT",
        "ALTER ROLE ALL SET row_security = off",
        "ALTER ROLE CURRENT_USER SET temp_file_limit = -1",
        "SET temp_file_limit = -1",
        "SET log_min_messages = panic",
        "ALTER ROLE CURRENT_USER SET flagctl.change = 'x'",
        "SET SESSION AUTHORIZATION DEFAULT; SET ROLE postgres",
    ],
)
@pytest.mark.parametrize("login", ["admin", "reader", "trust"])
def test_what_is_kept_from_a_login(statement: str, login: str, ground: Ground) -> None:
    with ground.connect(login) as connection:
        assert outcome(connection, statement) in {"42501", "22023"}
