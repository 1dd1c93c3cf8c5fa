"""One transaction can hold the sealed changes of two tokens; a deed keeps the name of its doer."""

import psycopg
import pytest

from core.settings import Secret
from tests.support.grounds import Ground
from tests.support.raw_sql import begin, described, outcome

_SEALED = "SELECT current_setting('flagctl.change')"
_PUT_IN_PLACE = " RETURNING set_config('flagctl.change', %s, true)"
_MEMBER = (
    "INSERT INTO flagctl.members (organization_id, issuer_id, subject, email, role)"
    " SELECT 1, id, 'mallory@example.com', 'mallory', 'admin' FROM flagctl.issuers"
)
DEEDS = [
    _MEMBER,
    "UPDATE flagctl.members SET email = 'boss' WHERE email = 'admin@example.com'",
    "UPDATE flagctl.tokens SET revoked_at = now()",
    "UPDATE flagctl.organizations SET key_pattern = '.*'",
    "UPDATE flagctl.environments SET confirm = NOT confirm",
    "DELETE FROM flagctl.environments WHERE key = 'staging'",
    "UPDATE flagctl.flags SET description = 'mine'",
    "UPDATE flagctl.flags SET default_enabled = NOT default_enabled",
    "UPDATE flagctl.configs SET schema = '{}'",
    "DELETE FROM flagctl.api_keys",
    "INSERT INTO flagctl.configs (organization_id, key, type) VALUES (1, 'mine', 'string')",
]


def sealed_and_left(connection: psycopg.Connection[tuple[str]], token: Secret) -> str:
    """A change that this transaction began, and put aside for another one."""
    begin(connection, token)
    row = connection.execute(_SEALED).fetchone()
    assert row is not None
    connection.execute("SET LOCAL flagctl.change = ''")
    return row[0]


@pytest.mark.parametrize("deed", DEEDS)
@pytest.mark.parametrize("scapegoat", ["viewer", "editor_of_dev"])
def test_what_an_admin_does_is_not_a_smaller_ones_deed(
    scapegoat: str, deed: str, ground: Ground
) -> None:
    """The policies ask the admin's change; the events are written when the other is in place."""
    before = ground.state()
    with ground.connect() as connection:
        other = sealed_and_left(connection, getattr(ground, scapegoat))
        begin(connection, ground.admin)
        state, said = described(connection, deed + _PUT_IN_PLACE, [other])
        connection.commit()
    assert (state, " may not do this in " in said) == ("FC004", True)
    assert ground.state() == before


def test_nor_is_it_the_deed_of_another_organizations_member(ground: Ground) -> None:
    before = ground.state()
    with ground.connect() as connection:
        other = sealed_and_left(connection, ground.foreign_admin)
        begin(connection, ground.admin)
        state, said = described(connection, _MEMBER + _PUT_IN_PLACE, [other])
        connection.commit()
    assert (state, "belongs to another organization" in said) == ("FC004", True)
    assert ground.state() == before


def test_nor_of_nobody(ground: Ground) -> None:
    before = ground.state()
    with ground.connect() as connection:
        begin(connection, ground.admin)
        assert outcome(connection, _MEMBER + _PUT_IN_PLACE, [""]) == "FC003"
        connection.commit()
    assert ground.state() == before


@pytest.mark.parametrize(
    "deed",
    [
        _MEMBER.replace("'admin'", "'viewer'"),
        "UPDATE flagctl.members SET role = 'viewer' WHERE environment_id IS NOT NULL",
        "DELETE FROM flagctl.environments WHERE key = 'staging'",
        "UPDATE flagctl.organizations SET key_pattern = '.*'",
        "UPDATE flagctl.flags SET description = 'mine'",
        "UPDATE flagctl.configs SET schema = '{}'",
        "UPDATE flagctl.tokens SET revoked_at = now()",
        "UPDATE flagctl.environments SET description = 'mine' WHERE key = 'prod'",
    ],
)
def test_events_alone_refuse_too(deed: str, own_ground: Ground) -> None:
    """As if a policy had been forgotten, also where no revision is at stake."""
    for table in ("organizations", "environments", "flags", "configs", "members", "tokens"):
        own_ground.installation.run(f"ALTER TABLE flagctl.{table} DISABLE ROW LEVEL SECURITY")
    before = own_ground.state()
    for token in (own_ground.viewer, own_ground.editor_of_dev, own_ground.admin_of_dev):
        with own_ground.connect() as connection:
            begin(connection, token)
            assert outcome(connection, deed) == "FC004"
            connection.commit()
    assert own_ground.state() == before
