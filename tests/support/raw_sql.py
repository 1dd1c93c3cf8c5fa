"""Raw SQL with a login of the CLI's group: what flagctl's own code would never send."""

from datetime import timedelta
from typing import Any, LiteralString

import psycopg

from core.settings import Secret

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
