"""The one door to Postgres: an authenticated transaction, for reads as for writes."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, CursorResult, Executable, text

import core
from core import clock
from core.auth import tokens
from core.auth.actor import Actor, Grant, Role
from core.db import connect, translated
from core.errors import UnauthenticatedError
from core.settings import Secret

# The bounds hold for this transaction only, so that poolers in transaction mode work.
_OPEN = text(
    "SELECT set_config('lock_timeout', '5s', true), set_config('statement_timeout', '30s', true),"
    " set_config('idle_in_transaction_session_timeout', '30s', true),"
    " i.audience, i.max_lifetime_seconds, k.public_key, k.revoked_at"
    " FROM (VALUES (1)) AS one LEFT JOIN flagctl.issuers i ON i.issuer = :issuer"
    " LEFT JOIN flagctl.issuer_keys k ON k.issuer_id = i.id AND k.key_id = :key_id"
)
_BEGIN = text("SELECT flagctl.begin_change(:token, :organization, :reason, :client_version)")
_BEGIN_AS_OWNER = text("SELECT flagctl.begin_owner_change(:organization, :reason, :client_version)")


@dataclass(frozen=True, slots=True)
class Session:
    """Who acts, for which organization, in one open transaction. It cannot commit."""

    connection: Connection
    actor: Actor
    organization_id: int
    organization: str
    key_pattern: str
    change_id: UUID

    def execute(
        self,
        statement: Executable,
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> CursorResult[Any]:
        """Run a statement; what Postgres refuses is raised as one of our errors."""
        with translated():
            return self.connection.execute(statement, parameters)


@contextmanager
def session(
    url: Secret, token: Secret, *, organization: str | None = None, reason: str | None = None
) -> Iterator[Session]:
    """Verify the token and open a transaction in its name; rolled back unless committed inside.

    Raises UnauthenticatedError, ForbiddenError (no member), UnavailableError.
    """
    origin = tokens.origin(token.reveal())
    with connect(url, application_name="flagctl") as connection:
        with translated():
            row = connection.execute(
                _OPEN, {"issuer": origin.issuer, "key_id": origin.key_id}
            ).one()
        if row.audience is None:
            raise UnauthenticatedError(
                f"the token's issuer {origin.issuer!r} is not trusted here",
                hint="is it the token of another installation?",
            )
        if row.public_key is None or row.revoked_at is not None:
            state = "is not known" if row.public_key is None else "has been revoked"
            raise UnauthenticatedError(
                f"the key {origin.key_id!r} that signed the token {state}",
                hint="get a new token with `flagctl token issue EMAIL`",
            )
        key = tokens.TrustedKey(
            origin.issuer,
            origin.key_id,
            row.public_key,
            row.audience,
            timedelta(seconds=row.max_lifetime_seconds),
        )
        tokens.verify(token.reveal(), key, clock.now())
        yield _begin(
            connection,
            _BEGIN,
            {"token": token.reveal(), "organization": organization, "reason": reason},
        )


@contextmanager
def owner_session(
    url: Secret, *, owner_role: str, organization: str = "default", reason: str | None = None
) -> Iterator[Session]:
    """A transaction of the owner, who needs no token: for the first admin and lost keys."""
    with connect(url, application_name="flagctl owner") as connection:
        with translated():
            connection.execute(
                text("SELECT set_config('role', :role, false)"), {"role": owner_role}
            )
        yield _begin(connection, _BEGIN_AS_OWNER, {"organization": organization, "reason": reason})


def _begin(connection: Connection, statement: Executable, parameters: dict[str, Any]) -> Session:
    version = f"flagctl/{core.__version__}"
    with translated():
        change: dict[str, Any] = connection.execute(
            statement, parameters | {"client_version": version}
        ).scalar_one()
    grants = tuple(
        Grant(Role(g["role"]), g["environment_id"], g["environment"]) for g in change["grants"]
    )
    return Session(
        connection,
        Actor(change["actor"], change["actor_name"], grants),
        change["organization_id"],
        change["organization"],
        change["key_pattern"],
        UUID(change["change_id"]),
    )
