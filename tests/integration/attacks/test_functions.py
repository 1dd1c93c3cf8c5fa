"""The functions that run as the owner, called with whatever a login can think of."""

from itertools import product

import psycopg
import pytest

from tests.support.grounds import Ground
from tests.support.raw_sql import begin, outcome

ODD = (
    *("NULL", "''", "' '", "repeat('x', 1000000)", "E'\\n'", "'null'", "'{}'", "'a.b.c'", "'..'"),
    *("'a.b.c.d'", "repeat('e30', 4000)", "'e30.e30.'", "'eyJhbGciOiJub25lIn0.e30.AA'"),
    "repeat('W', 8000) || '.' || repeat('W', 8000) || '.AA'",
)
REFUSED = {"FC002", "FC003", "FC004"}


@pytest.mark.parametrize("token", ODD)
def test_no_odd_text_is_a_token(token: str, ground: Ground) -> None:
    before = ground.state()
    with ground.connect() as connection:
        for organization, call in product(
            ("NULL", "'default'", "''"),
            (
                "SELECT flagctl.begin_change({0}, {1}, NULL, 'psql')",
                "SELECT flagctl.record_denial({0}, {1}, 'x', 'psql')",
                "SELECT flagctl.audit_page({0}, {1}, '{{}}')",
                "SELECT flagctl.organizations_of({0}) WHERE {1} IS NULL OR true",
            ),
        ):
            assert outcome(connection, call.format(token, organization)) in REFUSED, call
        connection.commit()
    assert ground.state() == before


@pytest.mark.parametrize("organization", [value for value in ODD if value != "NULL"])
def test_no_odd_text_is_an_organization(organization: str, ground: Ground) -> None:
    with ground.connect() as connection:
        for call in (
            f"SELECT flagctl.begin_change(%s, {organization}, NULL, 'psql')",
            f"SELECT flagctl.audit_page(%s, {organization}, '{{}}')",
        ):
            assert outcome(connection, call, [ground.admin.reveal()]) == "FC004"


@pytest.mark.parametrize(
    "call", ["organization_where", "organization_throughout", "environments_where"]
)
@pytest.mark.parametrize(
    "argument", ["NULL", "''", "'nothing'", "'EDIT'", "'govern '", "repeat('x', 1000000)"]
)
@pytest.mark.parametrize("token", ["admin", "viewer"])
def test_an_odd_permission_is_none(token: str, argument: str, call: str, ground: Ground) -> None:
    with ground.connect() as connection:
        begin(connection, getattr(ground, token))
        row = connection.execute(f"SELECT flagctl.{call}({argument})".encode()).fetchone()
    assert row in ((None,), ([],))


def test_without_a_change_they_say_nothing(ground: Ground) -> None:
    with ground.connect() as connection:
        for call, nothing in (
            ("current_organization()", None),
            ("organization_where('edit')", None),
            ("organization_throughout('edit')", None),
            ("environments_where('read')", []),
            ("outcome() ->> 'events'", None),
            ("outcome() ->> 'raised'", None),
        ):
            assert connection.execute(f"SELECT flagctl.{call}".encode()).fetchone() == (nothing,)


@pytest.mark.parametrize("login", ["admin", "reader", "trust", "superuser"])
def test_triggers_are_no_functions_to_call(login: str, ground: Ground) -> None:
    names = ground.ask(
        "SELECT proname FROM pg_proc WHERE pronamespace = 'flagctl'::regnamespace"
        " AND prorettype = 'trigger'::regtype"
    )
    assert len(names) > 10
    with ground.connect(login) as connection:
        for (name,) in names:
            assert outcome(connection, f"SELECT flagctl.{name}()") in {"42501", "0A000"}


def test_a_keeper_of_trust_writes_nothing_but_trust(ground: Ground) -> None:
    before = ground.state()
    with ground.connect("trust") as connection:
        connection.execute("SELECT flagctl.begin_owner_change('acme', NULL, 'psql')")
        for statement in (
            "UPDATE flagctl.flags SET default_enabled = true",
            "SELECT key FROM flagctl.flags",
            "SELECT before FROM flagctl.audit_events",
            "DELETE FROM flagctl.members",
            "UPDATE flagctl.members SET role = 'admin'",
            "UPDATE flagctl.organizations SET name = 'mine'",
            "INSERT INTO flagctl.tokens (organization_id, issuer_id, jti, subject, expires_at)"
            " SELECT 1, id, gen_random_uuid(), 'admin@example.com', now() + interval '1 hour'"
            " FROM flagctl.issuers",
            "INSERT INTO flagctl.issuers (issuer, audience, built_in) VALUES ('x', 'x', true)",
            "INSERT INTO flagctl.issuers (organization_id, issuer, audience)"
            " VALUES (NULL, 'https://x.example.com', 'x')",
            "UPDATE flagctl.issuers SET organization_id = 2",
            "UPDATE flagctl.issuers SET issuer = 'x'",
            "UPDATE flagctl.issuer_keys SET modulus = '\\x00'",
            "UPDATE flagctl.issuer_keys SET issuer_id = 1",
            "SELECT flagctl.begin_change('x', NULL, NULL, 'psql')",
            "SELECT flagctl.organization_where('govern')",
        ):
            assert outcome(connection, statement) in {"42501", "23514", "0 rows"}, statement
        connection.commit()
    assert ground.state() == before


def test_a_keeper_of_trust_in_the_clis_group_needs_a_token_too(own_ground: Ground) -> None:
    """Both groups together come to no more than each of them."""
    prefix = own_ground.installation.prefix
    [ids] = own_ground.ask(
        "SELECT f.id, e.id FROM flagctl.flags f JOIN flagctl.environments e USING (organization_id)"
        " WHERE f.key = 'theirs' AND e.key = 'dev'"
    )
    before = own_ground.state()
    own_ground.installation.run(f"GRANT {prefix}_admin TO {prefix}_trust_login")
    try:
        with own_ground.connect("trust") as connection:
            connection.execute("SELECT flagctl.begin_owner_change('acme', NULL, 'psql')")
            for statement in (
                f"SELECT flagctl.set_state({ids[0]}, {ids[1]}, true, '{{\"format\": 1}}')",
                "UPDATE flagctl.flags SET default_enabled = true",
                "UPDATE flagctl.organizations SET key_pattern = '.*'",
            ):
                assert outcome(connection, statement) in {"FC004", "42501", "0 rows"}, statement
            connection.commit()
    finally:
        own_ground.installation.run(f"REVOKE {prefix}_admin FROM {prefix}_trust_login")
    assert own_ground.state() == before


def test_an_owners_change_is_nobodys_token(ground: Ground) -> None:
    """What the keepers of trust sealed is worth nothing to a login of the CLI's group."""
    with ground.connect("trust") as first, ground.connect() as second:
        first.execute("SELECT flagctl.begin_owner_change('default', NULL, 'psql')")
        sealed = first.execute("SELECT current_setting('flagctl.change')").fetchone()
        second.execute("SELECT set_config('flagctl.change', %s, true)", sealed)
        assert outcome(second, "SELECT key FROM flagctl.flags") == "FC003"
        with pytest.raises(psycopg.Error, match="was not begun here"):
            second.execute("SELECT flagctl.outcome()")
