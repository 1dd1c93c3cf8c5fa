"""The one door to Postgres: an authenticated transaction, for reads as for writes."""

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, LiteralString
from uuid import UUID

from psycopg.types.json import Jsonb

import core
from core.auth import tokens
from core.auth.actor import Actor, Grant, Role
from core.db import translated
from core.links import Link, Parameters, link
from core.settings import Secret

if TYPE_CHECKING:
    from sqlalchemy import CursorResult, Executable

# The bounds hold for this transaction only, so that poolers in transaction mode work. The token is
# a parameter of one call, never a setting, and never part of a statement's text.
_BOUNDS: Final = (
    "SELECT set_config('lock_timeout', '5s', true) AS a,"
    " set_config('statement_timeout', '30s', true) AS b,"
    " set_config('idle_in_transaction_session_timeout', '30s', true) AS c,"
    " set_config('transaction_read_only', %(read_only)s, true) AS d,"
)
_BEGIN: Final = (
    f"{_BOUNDS} flagctl.begin_change(%(token)s, %(organization)s, %(reason)s, %(client_version)s)"
)
_SET_FLAG: Final = (
    "SELECT flagctl.set_flag(%(token)s, %(organization)s, %(reason)s, %(client_version)s,"
    " %(flag)s, %(environment)s, %(patch)s, %(if_revision)s)"  # it sets the bounds itself
)
_BEGIN_AS_OWNER: Final = (
    f"{_BOUNDS} flagctl.begin_owner_change(%(organization)s, %(reason)s, %(client_version)s)"
)
_STATE: Final = "SELECT flagctl.state_of(%(flag)s, %(environment)s)"
PATIENCE_SECONDS = 40.0  # for each answer: more than any statement may take
CLIENT_VERSION = f"flagctl/{core.__version__}"
_BECOME_OWNER: Final = (
    "SELECT CASE WHEN pg_has_role(session_user, to_regrole(%(role)s), 'MEMBER')"
    " THEN set_config('role', %(role)s, true) END"
)


@dataclass(frozen=True, slots=True)
class Spot:
    """A flag in an environment, by their keys."""

    flag: str
    environment: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What the override at a spot shall have, as far as it is known before anybody looked there:
    {"enabled", "serve"?}, where no `serve` keeps its own and null takes it away. `patch` None asks
    to look only."""

    spot: Spot
    patch: dict[str, Any] | None = None
    if_revision: int | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """Who acts, for which organization, in one open transaction. It cannot commit."""

    connection: Link
    actor: Actor
    organization_id: int
    organization: str
    key_pattern: str
    change_id: UUID
    schema_version: str
    is_locked: bool  # whether it has the organization's lock, which every write needs
    # What was done as wished for, in the form of `flagctl.outcome`; None where it was not.
    granted: dict[str, Any] | None = None
    # Answers that came with those to other questions, good until the next statement: each way to
    # Postgres and back that a write does without counts.
    _ahead: dict[Hashable, Any] = field(default_factory=dict)

    def execute(
        self,
        statement: "Executable",
        parameters: Mapping[str, Any] | Sequence[Mapping[str, Any]] | None = None,
    ) -> "CursorResult[Any]":
        """Run a statement; what Postgres refuses is raised as one of our errors."""
        self._ahead.clear()
        with translated():
            return self.connection.sqlalchemy.execute(statement, parameters)

    def ask(self, query: LiteralString, parameters: Parameters | None = None) -> list[Any]:
        """The same in plain SQL, as `Link.ask`."""
        self._ahead.clear()
        return self.connection.ask(query, parameters)

    def value(self, query: LiteralString, parameters: Parameters | None = None) -> Any:
        """The one that a query gives."""
        ((found,),) = self.ask(query, parameters)
        return found

    def foresee(self, question: Hashable, answer: Any) -> None:
        """Keep an answer that came along, until the next statement."""
        self._ahead[question] = answer

    def foreseen(self, question: Hashable, ask: Callable[[], Any]) -> Any:
        """The answer that came along already, else what `ask` brings."""
        return self._ahead[question] if question in self._ahead else ask()

    def state_of(self, spot: Spot) -> Any:
        """The document of `flagctl.state_of`; None where the flag or the environment is missing."""
        return self.foreseen(spot, lambda: self.value(_STATE, asdict(spot)))


@contextmanager
def session(
    url: Secret,
    token: Secret,
    *,
    organization: str | None = None,
    reason: str | None = None,
    read_only: bool = True,
    wish: Wish | None = None,
) -> Iterator[Session]:
    """Open a transaction in the name of the token's bearer, whom Postgres verifies; rolled back
    unless committed inside.

    Raises UnauthenticatedError, ForbiddenError (no member), UnavailableError.
    """
    tokens.origin(token.reveal())  # what cannot be a token is refused without a connection
    with link(url, application_name="flagctl", patience=PATIENCE_SECONDS) as connection:
        yield begin(
            connection,
            token,
            organization=organization,
            reason=reason,
            read_only=read_only,
            wish=wish,
        )


def begin(
    connection: Link,
    token: Secret,
    *,
    organization: str | None = None,
    reason: str | None = None,
    read_only: bool = True,
    wish: Wish | None = None,
) -> Session:
    """The same on a connection that is open; its transaction ends with commit or rollback. A `wish`
    is granted in the same breath where nothing is in its way: then the transaction can only end.
    In any case what is at its spot comes along."""
    parameters: dict[str, Any]
    parameters = {"token": token.reveal(), "organization": organization, "reason": reason}
    if wish is None:
        parameters["read_only"] = "on" if read_only else "off"
        return _begin(connection, _BEGIN, parameters)
    patch = Jsonb(wish.patch) if wish.patch is not None else None
    parameters |= asdict(wish.spot) | {"patch": patch, "if_revision": wish.if_revision}
    done = _ask(connection, _SET_FLAG, parameters)
    begun = _session(connection, done["change"], done.get("outcome"))
    begun.foresee(wish.spot, done["state"])
    return begun


@contextmanager
def owner_session(
    url: Secret, *, owner_role: str, organization: str = "default", reason: str | None = None
) -> Iterator[Session]:
    """A transaction of the owner, who needs no token: for the first admin and lost keys. A login
    of the keepers of trust, who may not become the owner, opens one as well, for issuers."""
    with link(url, application_name="flagctl owner", patience=PATIENCE_SECONDS) as connection:
        connection.ask(_BECOME_OWNER, {"role": owner_role})
        parameters = {"organization": organization, "reason": reason, "read_only": "off"}
        yield _begin(connection, _BEGIN_AS_OWNER, parameters)


def _begin(connection: Link, query: LiteralString, parameters: dict[str, Any]) -> Session:
    return _session(connection, _ask(connection, query, parameters))


def _ask(connection: Link, query: LiteralString, parameters: dict[str, Any]) -> Any:
    ((*_, answer),) = connection.ask(query, parameters | {"client_version": CLIENT_VERSION})
    return answer


def _session(
    connection: Link, change: dict[str, Any], granted: dict[str, Any] | None = None
) -> Session:
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
        change["schema_version"],
        change.get("is_locked", False),
        granted,
    )
