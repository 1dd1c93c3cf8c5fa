"""Two organizations in one database: nothing crosses over, by whichever statement."""

import pytest

from core import clock
from core.auth import tokens
from core.settings import Secret
from tests.support.grounds import Ground
from tests.support.raw_sql import begin, described, outcome

_ACME = "(SELECT 2::bigint)"
_FLAG = "'boolean', '{\"on\": true, \"off\": false}', 'on', 'off'"


def test_nothing_of_the_other_is_seen(ground: Ground) -> None:
    with ground.connect() as connection:
        begin(connection, ground.admin)
        for table in (
            *("environments", "flags", "overrides", "configs", "config_values", "members"),
            *("tokens", "audit_events", "audit_event_revisions"),
        ):
            rows = connection.execute(
                f"SELECT DISTINCT organization_id FROM flagctl.{table}".encode()
            ).fetchall()
            assert rows in ([(1,)], []), table
        assert connection.execute("SELECT key FROM flagctl.organizations").fetchall() == [
            ("default",)
        ]
        assert connection.execute("SELECT key FROM flagctl.flags").fetchall() == [("checkout",)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT 1 / (key <> 'theirs')::int FROM flagctl.flags",
        "SELECT 1 FROM flagctl.flags WHERE 1 / (CASE key WHEN 'theirs' THEN 0 ELSE 1 END) = 1",
        "SELECT 1 FROM flagctl.flags"
        " WHERE CASE key WHEN 'theirs' THEN description::int END IS NULL",
        "SELECT 1 FROM flagctl.config_values WHERE CASE WHEN value::text = '123456'"
        " THEN (value ->> 0)::int / 0 END IS NULL",
        "SELECT 1 FROM flagctl.audit_events WHERE CASE entity_key WHEN 'theirs'"
        " THEN reason::int END IS NULL",
    ],
)
def test_errors_tell_nothing_of_hidden_rows(statement: str, ground: Ground) -> None:
    with ground.connect() as connection:
        begin(connection, ground.admin)
        assert outcome(connection, statement).endswith(" rows")


def test_statistics_tell_nothing(ground: Ground) -> None:
    ground.installation.run("ANALYZE")
    with ground.connect() as connection:
        begin(connection, ground.admin)
        seen = connection.execute(
            "SELECT tablename FROM pg_stats WHERE schemaname = 'flagctl'"
            " AND tablename <> 'schema_version'"
        ).fetchall()
        assert seen == []
        assert outcome(connection, "SELECT * FROM pg_statistic") == "42501"


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO flagctl.flags (organization_id, key, type, variants, on_variant, off_variant)"
        f" VALUES ({_ACME}, 'mine', {_FLAG})",
        f"INSERT INTO flagctl.environments (organization_id, key) VALUES ({_ACME}, 'mine')",
        "INSERT INTO flagctl.members (organization_id, issuer_id, subject, email, role)"
        f" SELECT {_ACME}, id, 'me@example.com', 'me', 'admin' FROM flagctl.issuers",
        "INSERT INTO flagctl.tokens (organization_id, issuer_id, jti, subject, expires_at)"
        f" SELECT {_ACME}, id, gen_random_uuid(), 'ann@example.com', now() + '1 day'"
        " FROM flagctl.issuers",
        "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id, enabled)"
        " SELECT 1, 2, id, true FROM flagctl.environments WHERE key = 'dev'",
        "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id, enabled)"
        " SELECT 1, id, 6, true FROM flagctl.flags",
        "INSERT INTO flagctl.config_values (organization_id, config_id, environment_id, value)"
        " SELECT 1, 2, id, '1' FROM flagctl.environments WHERE key = 'staging'",
        "INSERT INTO flagctl.api_keys (organization_id, environment_id, name, kind, digest)"
        " VALUES (1, 6, 'mine', 'server', sha256('x'))",
        "INSERT INTO flagctl.api_keys (organization_id, environment_id, name, kind, digest)"
        " VALUES (2, 6, 'mine', 'server', sha256('x'))",
        "UPDATE flagctl.flags SET default_enabled = true WHERE organization_id = 2",
        "DELETE FROM flagctl.members WHERE organization_id = 2",
        "UPDATE flagctl.organizations SET name = 'x' WHERE id = 2",
    ],
)
def test_nothing_of_the_other_is_written(statement: str, ground: Ground) -> None:
    before = ground.state()
    with ground.connect() as connection:
        begin(connection, ground.admin)
        result = outcome(connection, statement)
        connection.commit()
    assert result in ("0 rows", "42501", "23503", "FC004")
    assert ground.state() == before


def test_a_hidden_row_and_a_missing_one_fail_alike(ground: Ground) -> None:
    insert = (
        "INSERT INTO flagctl.overrides (organization_id, flag_id, environment_id, enabled)"
        " SELECT 1, {}, id, true FROM flagctl.environments WHERE key = 'dev'"
    )
    with ground.connect() as connection:
        begin(connection, ground.admin)
        hidden = described(connection, insert.format(2))
        missing = described(connection, insert.format(99_999))
    assert hidden[0] == missing[0] == "23503"
    assert hidden[1].split("\n")[0] == missing[1].split("\n")[0]


def test_a_key_of_the_others_can_be_taken_here(own_ground: Ground) -> None:
    with own_ground.connect() as connection:
        begin(connection, own_ground.admin)
        assert (
            outcome(
                connection,
                "INSERT INTO flagctl.flags (organization_id, key, type, variants, on_variant,"
                f" off_variant) VALUES (1, 'theirs', {_FLAG})",
            )
            == "1 rows"
        )


@pytest.mark.parametrize("organization", ["acme", "nowhere"])
def test_one_acts_in_ones_own_organization_alone(organization: str, ground: Ground) -> None:
    with ground.connect() as connection:
        for call in (
            "SELECT flagctl.begin_change(%s, %s, NULL, 'psql')",
            "SELECT flagctl.audit_page(%s, %s, '{}')",
            "SELECT flagctl.record_denial(%s, %s, 'x', 'psql')",
        ):
            state, said = described(connection, call, [ground.admin.reveal(), organization])
            assert state == "FC004"
            assert f"is not a member of organization {organization}" in said


def test_an_issuer_of_the_others_speaks_for_nobody_here(own_ground: Ground) -> None:
    own_ground.installation.govern(
        "INSERT INTO flagctl.issuers (organization_id, issuer, audience)"
        " VALUES (2, 'https://id.example.com', 'flagctl')"
    )
    (issuer,) = own_ground.ask(
        "SELECT id FROM flagctl.issuers WHERE issuer = 'https://id.example.com'"
    )[0]
    with own_ground.connect() as connection:
        begin(connection, own_ground.admin)
        assert connection.execute("SELECT built_in FROM flagctl.issuers").fetchall() == [(True,)]
        assert (
            outcome(
                connection,
                "INSERT INTO flagctl.members (organization_id, issuer_id, subject, email, role)"
                " VALUES (1, %s, 's', 's', 'admin')",
                [issuer],
            )
            == "42501"
        )


def test_the_same_key_id_is_another_key_in_another_organization(own_ground: Ground) -> None:
    """Also for a token that is remembered: it counts where the key that signed it is trusted."""
    made = own_ground.installation
    # Keys are tried in order: the one that signed is not the last.
    pairs = sorted(
        (tokens.modulus_of(public), private)
        for private, public in (tokens.generate_key_pair(2_048) for _ in range(2))
    )
    moduli, private = [modulus for modulus, _ in pairs], pairs[0][1]
    made.govern(
        "INSERT INTO flagctl.issuers (organization_id, issuer, audience)"
        " SELECT id, 'https://id.example.com', 'flagctl' FROM flagctl.organizations"
    )
    for organization, modulus in zip((1, 2), moduli, strict=True):
        made.govern(
            "INSERT INTO flagctl.issuer_keys (issuer_id, key_id, modulus) SELECT id, 'k', %s"
            " FROM flagctl.issuers WHERE organization_id = %s",
            parameters=[modulus, organization],
        )
    made.govern(
        "INSERT INTO flagctl.members (organization_id, issuer_id, subject, email, role)"
        " SELECT organization_id, id, 'ann', 'ann', 'admin' FROM flagctl.issuers"
        " WHERE NOT built_in"
    )
    now = int(clock.now().timestamp())
    claims = {"iss": "https://id.example.com", "aud": "flagctl", "sub": "ann"}
    token = Secret(tokens.sign(claims | {"iat": now, "exp": now + 600}, private, "k"))
    for _ in range(2):
        for wanted in ("default", None):
            with own_ground.connect() as connection:
                assert begin(connection, token, wanted)["organization"] == "default"
        with own_ground.connect() as connection:
            state, said = described(
                connection,
                "SELECT flagctl.begin_change(%s, 'acme', NULL, 'psql')",
                [token.reveal()],
            )
        assert (state, "or its key 'k' is not" in said) == ("FC003", True)
