"""What was refused is on record: who, what, when."""

import psycopg
import pytest

from core.errors import ForbiddenError
from core.services import flags, overrides
from core.services.change import Change, Options, change
from core.settings import Secret
from tests.support.grounds import Ground
from tests.support.raw_sql import begin
from tests.support.servers import Servers
from tests.support.waiting import eventually

_LAST = (
    "SELECT action, actor, entity_type, entity_key, before, after, reason, client_version"
    " FROM flagctl.audit_events WHERE organization_id = 1 ORDER BY seq DESC LIMIT 1"
)


def test_a_refused_write_leaves_an_event_and_nothing_else(own_ground: Ground) -> None:
    made = own_ground.installation
    token = made.token_for("editor", "dev", email="ed@example.com")
    before, seq = own_ground.state(), made.last_event()

    def both(opened: Change) -> None:
        for place in ("dev", "prod"):
            overrides.set_override(opened, "checkout", place, "on")

    with pytest.raises(ForbiddenError), made.change(token) as opened:
        both(opened)
    assert own_ground.state() == before
    assert made.last_event() == seq + 1
    (event,) = own_ground.ask(_LAST)
    assert event[:6] == ("denied", "ed@example.com", "organization", "default", None, None)
    assert event[6] == "ed@example.com may not do this in prod: it needs the role editor or admin"
    assert event[7].startswith("flagctl/")


def test_so_does_one_that_only_postgres_refuses(
    own_ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = own_ground.installation
    monkeypatch.setattr("core.auth.actor.Actor.require", lambda *_, **__: None)
    with pytest.raises(ForbiddenError), made.change(own_ground.viewer) as opened:
        flags.create_flag(opened, flags.Definition("new"))
    ((action, *_, reason, _),) = own_ground.ask(_LAST)
    assert (action, "Postgres refuses it" in reason) == ("denied", True)


def test_who_is_no_member_leaves_none(own_ground: Ground) -> None:
    made = own_ground.installation
    seq = made.last_event()
    with (
        pytest.raises(ForbiddenError, match="is not a member of organization default"),
        change(made.admin_url, own_ground.foreign_admin, Options(), organization="default"),
    ):
        pytest.fail("opened")
    assert made.last_event() == seq


def test_a_denial_is_told_of_oneself_alone(own_ground: Ground) -> None:
    with own_ground.connect() as connection:
        connection.execute(
            "SELECT flagctl.record_denial(%s, NULL, %s, 'psql')",
            [own_ground.viewer.reveal(), "x" * 5000],
        )
    ((action, actor, *_, reason, _),) = own_ground.ask(_LAST)
    assert (action, actor.startswith("viewer-"), len(reason)) == ("denied", True, 1000)


def test_a_denial_is_no_second_change(ground: Ground) -> None:
    with ground.connect() as connection:
        begin(connection, ground.viewer)
        with pytest.raises(psycopg.Error, match="has begun a change already"):
            connection.execute(
                "SELECT flagctl.record_denial(%s, NULL, 'x', 'psql')", [ground.viewer.reveal()]
            )


def test_what_only_postgres_sees_is_in_its_log(ground: Ground, servers: Servers) -> None:
    if servers.postgres is None:
        pytest.skip("the log of a Postgres of one's own is elsewhere")
    log, forged = servers.postgres.log, ground.admin.reveal()[:-4] + "AAAA"
    before = len(log.read_text())
    with ground.connect() as connection, pytest.raises(psycopg.Error, match="signature is wrong"):
        begin(connection, Secret(forged))

    def said() -> str:
        return log.read_text()[before:]

    eventually(lambda: "the token's signature is wrong" in said(), "it is logged")
    assert forged not in said()
    assert ground.admin.reveal() not in said()
