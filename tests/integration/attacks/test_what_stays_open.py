"""What docs/security.md says is left open, so that it is known when it no longer is."""

from core import clock
from core.auth import tokens
from tests.support.grounds import Ground
from tests.support.raw_sql import begin, outcome


def test_a_stolen_key_file_signs_again_what_is_registered(ground: Ground) -> None:
    """For a thief who is a member: every member sees the ids and ends of the others' tokens."""
    with ground.connect() as connection:
        begin(connection, ground.viewer)
        row = connection.execute(
            "SELECT i.issuer, i.audience, t.jti::text, extract(epoch FROM t.expires_at)::bigint"
            " FROM flagctl.tokens t JOIN flagctl.issuers i ON i.id = t.issuer_id"
            " WHERE t.subject = 'admin@example.com'"
        ).fetchone()
    assert row is not None
    issuer, audience, jti, end = row
    claims = {"iss": issuer, "aud": audience, "sub": "admin@example.com", "jti": jti, "exp": end}
    claims["iat"] = int(clock.now().timestamp())
    token = tokens.sign(claims, *ground.installation.signing_key.read())
    assert token != ground.admin.reveal()
    with ground.connect() as connection:
        begun = "SELECT flagctl.begin_change(%s, NULL, NULL, 'psql')"
        assert outcome(connection, begun, [token]) == "1 rows"


def test_a_lock_on_a_whole_table_keeps_readers_from_postgres(ground: Ground) -> None:
    """Without any token; they go on with the copies that they have."""
    with ground.connect() as connection, ground.connect("reader") as reader:
        connection.execute("LOCK TABLE flagctl.environments")
        reader.execute("SET LOCAL lock_timeout = '50ms'")
        assert outcome(reader, "SELECT revision FROM flagctl.environments") == "55P03"
        connection.rollback()
        assert outcome(reader, "SELECT revision FROM flagctl.environments").endswith(" rows")


def test_nothing_bounds_how_much_a_member_writes(ground: Ground) -> None:
    """Where he may: readers must hold it, of all organizations."""
    with ground.connect() as connection:
        begin(connection, ground.editor_of_dev)
        assert (
            outcome(
                connection,
                "UPDATE flagctl.config_values SET value = to_jsonb(repeat('x', 5000000))"
                " WHERE environment_id = (SELECT id FROM flagctl.environments WHERE key = 'dev')",
            )
            == "1 rows"
        )
        connection.rollback()


def test_any_login_sees_how_much_there_is_of_all(ground: Ground) -> None:
    """Counts and sizes, not whose; texts have no statistics."""
    with ground.connect() as connection:
        for statement in (
            "SELECT n_tup_ins FROM pg_stat_user_tables WHERE relname = 'flags'",
            "SELECT reltuples FROM pg_class WHERE oid = 'flagctl.flags'::regclass",
            "SELECT pg_total_relation_size('flagctl.flags')",
        ):
            assert outcome(connection, statement) == "1 rows"
