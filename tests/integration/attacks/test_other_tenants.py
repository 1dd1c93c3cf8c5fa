"""What leaks past row-level security: errors before it, statistics, what every login sees."""

import json
from typing import Any

import psycopg
import pytest

from core.settings import Secret
from tests.integration.attacks.issuers import URL, minted, trust
from tests.support.grounds import Ground
from tests.support.openid_issuers import rsa_key
from tests.support.raw_sql import begin, described, outcome

_BEGIN = "SELECT flagctl.begin_change(%s, %s, NULL, 'psql')"
_PAGE = "SELECT flagctl.audit_page(%s, %s, '{}')"


@pytest.fixture(scope="module")
def trusting(ground: Ground) -> Ground:
    """The organization acme trusts an issuer; some of its keys were withdrawn."""
    trust(ground, 2, rsa_key("theirs"), key_id="public")
    ground.installation.govern(
        "INSERT INTO flagctl.issuer_keys (issuer_id, key_id, modulus)"
        " SELECT issuer_id, 'withdrawn', modulus FROM flagctl.issuer_keys WHERE key_id = 'public'",
    )
    ground.installation.govern(
        "UPDATE flagctl.issuer_keys SET revoked_at = now() WHERE key_id = 'withdrawn'",
    )
    return ground


@pytest.mark.parametrize("call", [_BEGIN, _PAGE])
@pytest.mark.parametrize("key_id", ["public", "withdrawn", "unknown"])
def test_whom_another_organization_trusts_is_not_told(
    key_id: str, call: str, trusting: Ground
) -> None:
    """Public issuers and the ids of their keys are known to all, and names are soon guessed."""
    token = minted(rsa_key("mine"), "me", key_id=key_id).reveal()
    said = set()
    with trusting.connect() as connection:
        for organization in ("acme", "default", "nowhere", None):
            state, message = described(connection, call, [token, organization])
            said.add((state, message.split("\n")[0]))
    assert said == {
        ("FC003", f"the token's issuer '{URL}' is not trusted here, or its key '{key_id}' is not")
    }


def estimate(connection: psycopg.Connection[Any], condition: str) -> int:
    row = connection.execute(
        f"EXPLAIN (FORMAT JSON) SELECT FROM flagctl.{condition}".encode()
    ).fetchone()
    assert row is not None
    (plan,) = row[0]
    return int(plan["Plan"]["Plan Rows"])


def test_estimates_do_not_find_names_by_halving(own_ground: Ground) -> None:
    """EXPLAIN needs no token, and would tell how many of all organizations' e-mails come before
    a text of one's choice."""
    with own_ground.connect() as connection:
        begin(connection, own_ground.foreign_admin)
        connection.execute(
            "INSERT INTO flagctl.members (organization_id, issuer_id, subject, email, role)"
            " SELECT 2, i.id, 'u' || n, 'user' || n || '@acme.example', 'viewer'"
            " FROM flagctl.issuers i, generate_series(100, 400) n"
        )
        connection.commit()
    own_ground.installation.run("ANALYZE")
    with own_ground.connect() as connection:
        for condition in (
            "members WHERE email < '{}'",
            "members WHERE subject < '{}'",
            "audit_events WHERE entity_key < '{}'",
            "flags WHERE key < '{}'",
        ):
            found = {
                estimate(connection, condition.format(text))
                for text in ("a", "user200", "user300@acme.example", "u250", "zzz")
            }
            assert len(found) == 1, condition


def test_no_text_and_no_id_has_statistics(ground: Ground) -> None:
    """A new column must be told to have none (migration 0001)."""
    found = ground.ask(
        "SELECT c.relname, a.attname FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " WHERE c.relnamespace = 'flagctl'::regnamespace AND c.relkind = 'r' AND a.attnum > 0"
        " AND NOT a.attisdropped AND a.atttypid IN ('text'::regtype, 'uuid'::regtype)"
        " AND coalesce(a.attstattarget, -1) <> 0 AND c.relname <> 'schema_version'"
    )
    assert found == []


@pytest.mark.parametrize("login", ["admin", "reader", "trust"])
def test_the_name_of_a_session_names_nobody(login: str, ground: Ground) -> None:
    """`application_name` is shown to every login of the server."""
    with ground.connect() as theirs, ground.connect(login) as connection:
        begin(theirs, ground.foreign_admin)
        (row,) = connection.execute(
            "SELECT application_name FROM pg_stat_activity WHERE pid = %s",
            [theirs.info.backend_pid],
        ).fetchall()
    (member,) = ground.ask("SELECT id FROM flagctl.members WHERE email = 'ann@example.com'")
    assert row == (f"flagctl member {member[0]}",)


@pytest.mark.parametrize(
    ("statement", "state"),
    [
        ("SELECT nextval('flagctl.flags_id_seq')", "42501"),
        ("SELECT setval('flagctl.flags_id_seq', 1)", "42501"),
        ("SELECT currval('flagctl.flags_id_seq')", "42501"),
        ("SELECT last_value FROM flagctl.flags_id_seq", "42501"),
        ("SELECT lastval()", "55000"),
        ("SELECT 1 FROM pg_sequences WHERE schemaname = 'flagctl' AND last_value > 0", "0 rows"),
        # Until Postgres 17 it is refused, since then it has no value.
        ("SELECT 1 WHERE pg_sequence_last_value('flagctl.flags_id_seq') > 0", "42501 0 rows"),
    ],
)
def test_sequences_tell_nothing(statement: str, state: str, ground: Ground) -> None:
    with ground.connect() as connection:
        begin(connection, ground.admin)
        assert outcome(connection, statement) in state


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO flagctl.flags (organization_id, key, type, variants, on_variant, off_variant)"
        " VALUES (2, %s, 'boolean', '{\"on\": 1}', 'on', 'on')",
        "INSERT INTO flagctl.flags (organization_id, key, type, variants, on_variant, off_variant)"
        " VALUES (2, %s, 'boolean', '{\"on\": 1}', 'on', 'on') ON CONFLICT DO NOTHING",
        "INSERT INTO flagctl.environments (organization_id, key) VALUES (2, %s)",
        "INSERT INTO flagctl.configs (organization_id, key, type) VALUES (2, %s, 'string')",
    ],
)
def test_what_exists_elsewhere_and_what_does_not_conflict_alike(
    statement: str, ground: Ground
) -> None:
    """The policy answers before the unique index could."""
    with ground.connect() as connection:
        begin(connection, ground.admin)
        answers = {
            described(connection, statement, [key])
            for key in ("theirs", "salary", "prod", "no-such-thing")
        }
    assert {state for state, _ in answers} == {"42501"}
    assert len(answers) == 1


def test_a_cursor_and_a_plan_of_another_actor(ground: Ground) -> None:
    """One connection after the other's: what was planned for the one is asked anew."""
    with ground.connect() as connection:
        begin(connection, ground.foreign_admin)
        connection.execute("SET plan_cache_mode = force_generic_plan")
        connection.execute("PREPARE mine (text) AS SELECT key FROM flagctl.flags WHERE key = $1")
        assert outcome(connection, "EXECUTE mine ('theirs')") == "1 rows"
        connection.execute("DECLARE open CURSOR FOR SELECT key FROM flagctl.flags")
        connection.commit()
        for token in (ground.admin, ground.viewer):
            begin(connection, token)
            assert outcome(connection, "EXECUTE mine ('theirs')") == "0 rows"
            assert outcome(connection, "EXECUTE mine ('checkout')") == "1 rows"
            assert outcome(connection, "FETCH ALL FROM open") == "34000"
            connection.commit()
        assert outcome(connection, "EXECUTE mine ('theirs')") == "0 rows"


def test_a_cursor_that_was_opened_for_another_shows_that_ones_rows_alone(ground: Ground) -> None:
    """Within one transaction the actor can be changed under an open cursor."""
    with ground.connect() as connection:
        begin(connection, ground.viewer)
        connection.execute("DECLARE mine CURSOR FOR SELECT organization_id FROM flagctl.flags")
        connection.execute("SET LOCAL flagctl.change = ''")
        begin(connection, ground.foreign_admin, "acme")
        rows = connection.execute("FETCH ALL FROM mine").fetchall()
    assert rows in ([(1,)], [(2,)])  # of one of the two tokens, which both are the caller's


@pytest.mark.parametrize(
    "filters",
    [
        {"id": "1 OR true"},
        {"id": "99999999999999999999"},
        {"cursor": "x"},
        {"since": "yesterday'; --"},
        {"limit": -1},
        {"limit": "many"},
        {"entity_key": "theirs"},
        {"entity_key": "' OR organization_id = 2 --"},
        {"actor": "ann@example.com"},
        {"environment": "nowhere"},
        {"organization_id": 2, "entity_type": "salary"},
    ],
)
def test_no_filter_of_the_audit_log_reaches_another_organization(
    filters: dict[str, object], ground: Ground
) -> None:
    token: Secret = ground.viewer
    for login in ("admin", "reader"):
        with ground.connect(login) as connection:
            state = outcome(
                connection,
                "SELECT flagctl.audit_page(%s, 'default', %s)",
                [token.reveal(), json.dumps(filters)],
            )
        assert state in ("0 rows", "22P02", "22003", "22007", "2201W"), state


@pytest.mark.parametrize("filters", [None, "null", "[]", "3", '{"limit": null}', '{"id": {}}'])
def test_odd_filters(filters: str | None, ground: Ground) -> None:
    with ground.connect("reader") as connection:
        try:
            rows = connection.execute(
                "SELECT flagctl.audit_page(%s, NULL, %s) ->> 'entity_key'",
                [ground.viewer.reveal(), filters],
            ).fetchall()
        except psycopg.errors.DataError:
            return
    assert not {"theirs", "salary", "acme"} & {key for (key,) in rows}
