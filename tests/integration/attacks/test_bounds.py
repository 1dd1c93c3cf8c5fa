"""What a member can fill the log with, and what stays as it is once it is written."""

import pytest

from core.errors import InvalidInputError
from tests.support.grounds import Ground
from tests.support.raw_sql import begin, described, outcome

_DENIAL = "SELECT flagctl.record_denial(%s, NULL, %s, %s)"
_BEGIN = "SELECT flagctl.begin_change(%s, NULL, %s, %s)"


def count(ground: Ground, actor_like: str) -> int:
    query = "SELECT count(*) FROM flagctl.audit_events WHERE action = 'denied' AND actor LIKE %s"
    return int(ground.ask(query, [actor_like])[0][0])


def test_refusals_do_not_flood_the_log(own_ground: Ground) -> None:
    """They need no right, raise the log's number, which `--if-revision` compares, and never go."""
    with own_ground.connect() as connection:
        for number in range(25):
            token = own_ground.viewer.reveal()
            assert outcome(connection, _DENIAL, [token, f"try {number}", "psql"]) == "1 rows"
            connection.commit()
        assert count(own_ground, "viewer-%") == 10
        outcome(connection, _DENIAL, [own_ground.editor_of_dev.reveal(), "other", "psql"])
        connection.commit()
    assert count(own_ground, "editor-%") == 1


def test_after_a_minute_they_are_on_record_again(own_ground: Ground) -> None:
    with own_ground.connect() as connection:
        for _ in range(11):
            outcome(connection, _DENIAL, [own_ground.viewer.reveal(), "x", "psql"])
            connection.commit()
        own_ground.installation.run(
            "ALTER TABLE flagctl.audit_events DISABLE TRIGGER append_only;"
            "UPDATE flagctl.audit_events SET occurred_at = occurred_at - interval '61 seconds'"
        )
        outcome(connection, _DENIAL, [own_ground.viewer.reveal(), "x", "psql"])
        connection.commit()
    assert count(own_ground, "viewer-%") == 11


@pytest.mark.parametrize(
    ("reason", "version"), [("x" * 2_001, "psql"), ("", "x" * 201), ("é" * 3_000, "")]
)
def test_words_for_the_log_are_short(reason: str, version: str, ground: Ground) -> None:
    with ground.connect() as connection:
        state, said = described(connection, _BEGIN, [ground.viewer.reveal(), reason, version])
    assert (state, "2000 characters" in said) == ("FC002", True)


def test_as_long_as_flagctl_itself_allows(ground: Ground) -> None:
    with ground.connect() as connection:
        assert (
            outcome(connection, _BEGIN, [ground.viewer.reveal(), "é" * 2_000, "x" * 200])
            == "1 rows"
        )


def test_the_owner_is_told_as_an_error_of_the_input(ground: Ground) -> None:
    with (
        pytest.raises(InvalidInputError),
        ground.installation.owner_change(reason="x" * 2_001),
    ):
        pytest.fail("opened")


@pytest.mark.parametrize("table", ["tokens", "api_keys"])
@pytest.mark.parametrize("value", ["NULL", "now() + interval '1 year'"])
def test_what_was_revoked_stays_revoked(table: str, value: str, own_ground: Ground) -> None:
    """A leaked token or key is not brought back by raw SQL."""
    with own_ground.connect() as connection:
        begin(connection, own_ground.admin)
        which = f"WHERE id = (SELECT max(id) FROM flagctl.{table})"
        revoke = f"UPDATE flagctl.{table} SET revoked_at = now() {which}"
        assert outcome(connection, revoke) == "1 rows"
        connection.commit()
        begin(connection, own_ground.admin)
        state, said = described(
            connection, f"UPDATE flagctl.{table} SET revoked_at = {value} {which}"
        )
    assert (state, "stays revoked" in said) == ("FC004", True)


@pytest.mark.parametrize(
    "subject", ["owner:postgres", "https://id.example.com#bob", "admin@example.com#"]
)
def test_no_subject_looks_like_another_actor(subject: str, own_ground: Ground) -> None:
    """Owners are `owner:login` in the log, other issuers' people `issuer#subject`."""
    with own_ground.connect() as connection:
        begin(connection, own_ground.admin)
        assert (
            outcome(
                connection,
                "INSERT INTO flagctl.tokens (organization_id, issuer_id, jti, subject, expires_at)"
                " SELECT 1, id, gen_random_uuid(), %s, now() + interval '1 hour'"
                " FROM flagctl.issuers",
                [subject],
            )
            == "23514"
        )


@pytest.mark.parametrize("targeting", ["5", "[]", "{}", '{"format": null}', '{"format": "1"}'])
def test_no_targeting_is_without_a_format(targeting: str, ground: Ground) -> None:
    """Whoever reads it counts on an object."""
    with ground.connect() as connection:
        begin(connection, ground.admin)
        statement = (
            "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id, targeting)"
            " SELECT 1, f.id, e.id, %s::jsonb FROM flagctl.flags f, flagctl.environments e"
        )
        assert outcome(connection, statement, [targeting]) == "23514"
