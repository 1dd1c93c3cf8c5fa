"""Raw SQL with each login: the log is append only, and shows each organization its own."""

from typing import Any

import psycopg
import pytest
from psycopg import errors

from core.auth.actor import Role
from tests.support.installations import Installation
from tests.support.raw_sql import second_organization

AUDIT_CHANGES = [
    "UPDATE flagctl.audit_events SET actor = 'nobody'",
    "UPDATE flagctl.audit_events SET actor = 'nobody' WHERE false",
    "DELETE FROM flagctl.audit_events",
    "TRUNCATE flagctl.audit_events CASCADE",
    "UPDATE flagctl.audit_event_revisions SET revision = 1",
    "DELETE FROM flagctl.audit_event_revisions",
    "TRUNCATE flagctl.audit_event_revisions",
]


@pytest.mark.parametrize("statement", AUDIT_CHANGES)
def test_the_log_cannot_be_changed_even_by_its_owner(statement: str, ground: Installation) -> None:
    with ground.connect("owner") as connection:
        connection.execute(f"SET ROLE {ground.prefix}_owner".encode())
        with pytest.raises(psycopg.Error, match="is append only") as caught:
            connection.execute(statement.encode())
    assert caught.value.sqlstate == "FC004"


@pytest.mark.parametrize("statement", AUDIT_CHANGES)
def test_the_log_cannot_be_changed_by_the_others(
    statement: str, ground: Installation, login: str
) -> None:
    with ground.connect(login) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_the_owner_cannot_switch_triggers_off_for_a_session(ground: Installation) -> None:
    with ground.connect("owner") as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute("SET session_replication_role = replica")


def page(installation: Installation, token: str | None, organization: str | None = None) -> Any:
    """What the reader's login gets from the log."""
    return installation.ask(
        "SELECT flagctl.audit_page(%s, %s, '{\"limit\": 1000}')",
        [token, organization],
        login="reader",
    )


def test_a_page_of_the_log_is_of_the_callers_organization(installation: Installation) -> None:
    second_organization(installation)
    token = installation.token.reveal()
    rows = page(installation, token)
    assert len(rows) == installation.last_event()
    assert "their secret" not in str(rows)
    assert page(installation, token, "default") == rows
    with pytest.raises(psycopg.Error, match="is not a member of organization two") as caught:
        page(installation, token, "two")
    assert caught.value.sqlstate == "FC004"


@pytest.mark.parametrize("token", [None, "", "x", "a.b.c", "a.b.c.d", "e30.e30.e30", "e30.W10.e30"])
def test_without_a_token_there_is_no_page(token: str | None, ground: Installation) -> None:
    with pytest.raises(psycopg.Error) as caught:
        page(ground, token)
    assert caught.value.sqlstate == "FC003"


def test_a_revoked_token_gets_no_page(installation: Installation) -> None:
    token = installation.token_for(Role.VIEWER, "dev").reveal()
    assert page(installation, token)
    installation.govern("UPDATE flagctl.tokens SET revoked_at = now()")
    with pytest.raises(psycopg.Error, match="has been revoked"):
        page(installation, token)
