"""What Postgres remembers of a token opens no other door, and closes none."""

import psycopg
import pytest

from tests.integration.attacks.issuers import add_member, minted, trust
from tests.support.grounds import Ground
from tests.support.openid_issuers import Key, rsa_key
from tests.support.raw_sql import begin, outcome


@pytest.fixture
def keys() -> list[Key]:
    """The attacker's own first: Postgres looks at keys in the order of their numbers."""
    return sorted((rsa_key("one"), rsa_key("two")), key=lambda key: key.modulus)


@pytest.mark.parametrize("attacker", [0, 1])
def test_a_token_proven_with_one_organizations_key_is_not_proven_with_anothers(
    attacker: int, keys: list[Key], own_ground: Ground
) -> None:
    """Both trust one issuer and one key id, but not one key: the first has the attacker's."""
    trust(own_ground, 1, keys[attacker])
    trust(own_ground, 2, keys[1 - attacker])
    for organization, role in ((1, "viewer"), (2, "admin")):
        add_member(own_ground, organization, "boss", role)
    token = minted(keys[attacker], "boss")
    for _ in range(2):  # the second time it is remembered
        with own_ground.connect() as connection:
            assert begin(connection, token)["organization_id"] == 1
            connection.commit()
        with (
            own_ground.connect() as connection,
            pytest.raises(psycopg.Error, match="is not trusted here"),
        ):
            begin(connection, token, "acme")


def test_what_is_remembered_with_an_old_key_is_proven_anew_with_the_next(
    keys: list[Key], own_ground: Ground
) -> None:
    """An issuer that gives its new key the old one's id ends the old one's tokens."""
    trust(own_ground, 1, keys[0])
    add_member(own_ground, 1, "boss")
    token = minted(keys[0], "boss")
    with own_ground.connect() as connection:
        begin(connection, token)
        connection.commit()
    modulus = keys[1].modulus.to_bytes(256)
    own_ground.installation.run(
        "DO $$BEGIN PERFORM flagctl.begin_owner_change('default', NULL, 'test');"
        " DELETE FROM flagctl.issuer_keys WHERE key_id = 'k';"
        " INSERT INTO flagctl.issuer_keys (issuer_id, key_id, modulus)"
        f" SELECT id, 'k', '\\x{modulus.hex()}' FROM flagctl.issuers WHERE organization_id = 1;"
        " END$$"
    )
    with own_ground.connect() as connection:
        with pytest.raises(psycopg.Error, match="is not trusted here"):
            begin(connection, token)
        connection.rollback()
        assert begin(connection, minted(keys[1], "boss"))["actor_name"] == "boss"


def test_tidying_up_holds_nobody_up(own_ground: Ground) -> None:
    """Who begins with a new token takes away what expired, and can keep that transaction open: the
    next one with a new token, of any organization, must not wait for its end."""
    own_ground.installation.run(
        "INSERT INTO flagctl.verified_tokens VALUES"
        " (sha256('old'), '', '{}', '{}', now() - interval '1 day', 1)"
    )
    fresh = own_ground.installation.issue("admin@example.com").token
    with own_ground.connect() as mallory, own_ground.connect() as victim:
        mallory.execute("SELECT flagctl.begin_change(%s, NULL, NULL, 'psql')", [fresh])
        own_ground.installation.run(
            "DELETE FROM flagctl.verified_tokens WHERE digest <> sha256('old')"
        )
        victim.execute("SET LOCAL lock_timeout = '2s'")
        assert (
            outcome(
                victim,
                "SELECT flagctl.begin_change(%s, 'acme', NULL, 'psql')",
                [own_ground.foreign_admin.reveal()],
            )
            == "1 rows"
        )
