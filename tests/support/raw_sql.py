"""Raw SQL with a login of the CLI's group: what flagctl's own code would never send."""

from datetime import timedelta
from typing import Any, LiteralString

import psycopg

from core.settings import Secret
from tests.support.installations import Installation

TOKEN_LIFETIME = timedelta(hours=1)


def begin(
    connection: psycopg.Connection[Any], token: Secret, organization: str | None = None
) -> dict[str, Any]:
    """Begin a change in the name of the token's bearer."""
    row = connection.execute(
        "SELECT flagctl.begin_change(%s, %s, NULL, 'psql')", [token.reveal(), organization]
    ).fetchone()
    assert row is not None
    change: dict[str, Any] = row[0]
    return change


def outcome(connection: psycopg.Connection[Any], statement: str, parameters: Any = None) -> str:
    """The SQLSTATE that a statement ends with, or "N rows"; the transaction stays usable."""
    return described(connection, statement, parameters)[0]


def described(
    connection: psycopg.Connection[Any], statement: str, parameters: Any = None
) -> tuple[str, str]:
    """The same with the message of a refusal."""
    savepoint: LiteralString = "SAVEPOINT attempt"
    connection.execute(savepoint)
    try:
        cursor = connection.execute(statement.encode(), parameters)
    except psycopg.Error as error:
        connection.execute("ROLLBACK TO SAVEPOINT attempt")
        return error.sqlstate or "", str(error)
    connection.execute("RELEASE SAVEPOINT attempt")
    return f"{cursor.rowcount} rows", ""


def second_organization(installation: Installation) -> None:
    """Besides the first; what is in its log is `their secret`."""
    installation.govern("INSERT INTO flagctl.organizations (key, name) VALUES ('two', 'Two')")
    with installation.connect() as connection:
        connection.execute(
            "INSERT INTO flagctl.audit_events SELECT o.id, a.seq + 100, a.change_id, a.occurred_at,"
            " 'their secret', a.actor_name, a.entity_type, a.entity_id + 1000, a.entity_key,"
            " a.environment_id, a.environment, a.action, a.before, a.after, a.reason,"
            " a.client_version FROM flagctl.audit_events a, flagctl.organizations o"
            " WHERE o.key = 'two' AND a.organization_id <> o.id"
        )
