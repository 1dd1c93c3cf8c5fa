"""The functions through which flagctl looks at an override and writes it give nothing away."""

from tests.support.grounds import Ground
from tests.support.raw_sql import begin, described, outcome

_IDS = (
    "SELECT f.id, e.id FROM flagctl.flags f JOIN flagctl.environments e USING (organization_id)"
    " WHERE f.key = %s AND e.key = %s AND organization_id = %s"
)
_SET = 'SELECT flagctl.set_state(%s, %s, true, \'{"format": 1, "rules": []}\')'


def test_states_are_set_where_the_role_is(own_ground: Ground) -> None:
    [prod] = own_ground.ask(_IDS, ["checkout", "prod", 1])
    [dev] = own_ground.ask(_IDS, ["checkout", "dev", 1])
    before = own_ground.state()
    for token in (own_ground.viewer, own_ground.editor_of_dev):
        with own_ground.connect() as connection:
            begin(connection, token)
            assert outcome(connection, _SET, prod) == "FC004"
            connection.commit()
    assert own_ground.state() == before
    with own_ground.connect() as connection:
        begin(connection, own_ground.editor_of_dev)
        assert outcome(connection, _SET, dev) == "1 rows"
        connection.commit()
    last = "SELECT environment FROM flagctl.audit_events WHERE organization_id = 1"
    assert own_ground.ask(f"{last} ORDER BY seq DESC LIMIT 1") == [("dev",)]


def test_admins_set_no_state_of_another_organization(ground: Ground) -> None:
    [(own_flag, own_place)] = ground.ask(_IDS, ["checkout", "prod", 1])
    [(flag, place)] = ground.ask(_IDS, ["theirs", "prod", 2])
    before = ground.state()
    with ground.connect() as connection:
        begin(connection, ground.admin)
        for ids in ((flag, place), (own_flag, place), (flag, own_place)):
            state, said = described(connection, _SET, ids)
            assert state in ("FC004", "FC005"), said
            assert "theirs" not in said
        connection.commit()
    assert ground.state() == before


def test_whoever_names_a_place_of_another_organization_is_not_told_its_key(
    ground: Ground,
) -> None:
    [(flag, _)] = ground.ask(_IDS, ["checkout", "dev", 1])
    [(_, place)] = ground.ask(_IDS, ["theirs", "prod", 2])
    with ground.connect() as connection:
        begin(connection, ground.editor_of_dev)
        state, said = described(connection, _SET, [flag, place])
    assert (state, "prod" in said) == ("FC004", False)


def test_states_of_others_are_not_seen(ground: Ground) -> None:
    with ground.connect() as connection:
        unverified = connection.execute("SELECT flagctl.state_of('checkout', 'prod')").fetchone()
        begin(connection, ground.viewer)
        own = connection.execute("SELECT flagctl.state_of('checkout', 'prod')").fetchone()
        foreign = connection.execute("SELECT flagctl.state_of('theirs', 'prod')").fetchone()
    assert unverified == foreign == (None,)
    assert own is not None
    assert own[0]["flag"]["key"] == "checkout"


def test_nobody_sets_a_state_without_a_change(ground: Ground) -> None:
    ids = ground.ask(_IDS, ["checkout", "prod", 1])[0]
    with ground.connect() as connection:
        assert outcome(connection, _SET, ids) in ("FC003", "FC004")
    with ground.connect("reader") as connection:
        assert outcome(connection, _SET, ids) == "42501"
        assert outcome(connection, "SELECT flagctl.state_of('checkout', 'prod')") == "42501"
