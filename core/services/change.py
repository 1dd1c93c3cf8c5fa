"""The write path, once: authenticate, lock, apply, read back what the triggers made, commit.

Services receive an open `Change` and cannot commit. Audit events, revisions and NOTIFY are the
triggers' work (migrations); this module only reports them.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from core import schema_version
from core.auth.actor import Permission
from core.errors import (
    ConfirmationNeededError,
    ConflictError,
    FlagctlError,
    ForbiddenError,
    UnavailableError,
)
from core.evaluation.limits import DEFAULT, Limits
from core.lookups import environments
from core.sessions import CLIENT_VERSION, Session, Wish, owner_session, session
from core.settings import Secret

# Plain SQL: `flagctl set` takes no other, and SQLAlchemy as long to load as all the rest.
_RECORD_DENIAL: Final = (
    "SELECT flagctl.record_denial(%(token)s, %(organization)s, %(attempted)s, %(client_version)s)"
)
OUTCOME: Final = "SELECT flagctl.outcome()"
_LAST_EVENT: Final = (
    "SELECT coalesce(max(seq), 0) FROM flagctl.audit_events WHERE organization_id = %(id)s"
)
_LOCK: Final = "SELECT id FROM flagctl.organizations WHERE id = %(id)s FOR NO KEY UPDATE"
_PATIENCE_SECONDS = 60.0  # for a queue that moves; one holder alone gets `lock_timeout`, 5 s
_HOLDER: Final = (
    "SELECT coalesce((SELECT 'flagctl ' || m.email FROM flagctl.members m"
    " WHERE a.application_name = 'flagctl member ' || m.id), a.application_name)"
    " AS name, a.usename AS login, a.pid, o.xmax::text AS xid FROM flagctl.organizations o"
    " JOIN pg_locks l ON l.locktype = 'transactionid' AND l.transactionid = o.xmax AND l.granted"
    " JOIN pg_stat_activity a ON a.pid = l.pid WHERE o.id = %(id)s"
)


@dataclass(frozen=True, slots=True)
class Options:
    """What every write takes. `if_revision` is what the caller last saw; `limits` bound the rules
    that it writes."""

    reason: str | None = None
    dry_run: bool = False
    if_revision: int | None = None
    confirmed: bool = False
    limits: Limits = DEFAULT


@dataclass(frozen=True, slots=True)
class RaisedRevision:
    """An environment that the change touched, as the readers must now see it."""

    environment: str
    public_id: str
    revision: int
    stamp: UUID
    confirm: bool


@dataclass(frozen=True, slots=True)
class Event:
    """An audit event that the change made; `id` is its number in the organization's log."""

    id: int
    entity_type: str
    entity_key: str
    environment: str | None
    action: str
    before: Any
    after: Any


@dataclass(slots=True)
class Outcome:
    """What a change did, filled when its block ends. Without events, nothing was written."""

    events: tuple[Event, ...] = ()
    raised: tuple[RaisedRevision, ...] = ()
    epoch: str = ""
    committed: bool = False

    @property
    def changed(self) -> bool:
        return bool(self.events)


@dataclass(frozen=True, slots=True)
class Change:
    """An open change: a session that holds the organization's lock."""

    session: Session
    options: Options
    outcome: Outcome = field(default_factory=Outcome)

    def require(self, permission: Permission, *, in_environments: Iterable[Any] = ()) -> None:
        """Raise ForbiddenError unless the actor may, in each environment or in all of them."""
        self.session.actor.require(
            permission, environments=[(row.id, row.key) for row in in_environments]
        )

    def require_everywhere(self, permission: Permission) -> None:
        """For what every environment serves: a flag's definition, its global default."""
        rows = environments(self.session)
        self.require(permission, in_environments=rows)

    def expect(self, actual: int, *, what: str) -> None:
        """Hold `--if-revision` against what is there now. Raises ConflictError."""
        wanted = self.options.if_revision
        if wanted is not None and wanted != actual:
            raise ConflictError(
                f"{what} is {actual} now, not {wanted}: it changed meanwhile",
                hint="look at it again, then repeat with the new number",
            )

    def expect_log(self) -> None:
        """The same for what has no number of its own: the organization's last audit event."""
        if self.options.if_revision is None:
            return
        last = self.session.value(_LAST_EVENT, {"id": self.session.organization_id})
        self.expect(last, what="the last audit event")

    def confirm(self, needed: bool, message: str) -> None:  # noqa: FBT001 - reads as a sentence
        """Ask back before something grave; a dry run needs no word."""
        if needed and not self.options.confirmed and not self.options.dry_run:
            raise ConfirmationNeededError(message)


@contextmanager
def change(
    url: Secret,
    token: Secret,
    options: Options,
    *,
    organization: str | None = None,
    wish: Wish | None = None,
) -> Iterator[Change]:
    """Run the block as one authenticated, audited transaction; commit at its end. A `wish` is what
    the block will write, if it is known beforehand.

    Raises what the block raises, and then nothing was written but, of what the actor may not do,
    that it was tried; ConflictError when the organization's lock is not to be had in five seconds.
    """
    with session(
        url, token, organization=organization, reason=options.reason, read_only=False, wish=wish
    ) as opened:
        try:
            with running(opened, options) as open_change:
                yield open_change
        except ForbiddenError as error:
            _record_denial(opened, token, error)
            raise


def _record_denial(refused: Session, token: Secret, error: ForbiddenError) -> None:
    """A transaction of its own, as the other is undone. What hinders it hides not the refusal."""
    with suppress(FlagctlError):
        refused.connection.rollback()
        refused.ask(
            _RECORD_DENIAL,
            {
                "token": token.reveal(),
                "organization": refused.organization,
                "attempted": error.message,
                "client_version": CLIENT_VERSION,
            },
        )
        refused.connection.commit()


@contextmanager
def owner_change(
    url: Secret, options: Options, *, owner_role: str, organization: str = "default"
) -> Iterator[Change]:
    """The same for the owner, who has no token: the first admin, a lost key, an organization."""
    with (
        owner_session(
            url, owner_role=owner_role, organization=organization, reason=options.reason
        ) as opened,
        running(opened, options) as open_change,
    ):
        yield open_change


@contextmanager
def running(opened: Session, options: Options) -> Iterator[Change]:
    """The block as a change in an open session: under the lock, committed at its end.

    Raises UnavailableError in a database whose schema is not this release's.
    """
    schema_version.check(opened.schema_version)
    _lock(opened)
    open_change = Change(opened, options)
    yield open_change
    _read_outcome(open_change)
    _ask_for_protected(open_change)
    if not options.dry_run:
        _commit(opened)
        open_change.outcome.committed = True


def _commit(opened: Session) -> None:
    """Raises UnavailableError where no answer came: nobody can tell then whether it is done."""
    try:
        opened.connection.commit()
    except UnavailableError as error:
        raise UnavailableError(
            f"{error.message}. Whether the change is committed is not known",
            hint="`flagctl audit list --limit 5` shows whether it is there",
        ) from error


def _lock(opened: Session) -> None:
    """Wait in the queue as long as it moves; whoever holds it for five seconds is named."""
    if opened.is_locked:
        return
    parameters = {"id": opened.organization_id}
    deadline = time.monotonic() + _PATIENCE_SECONDS
    holder = _holder(opened)
    while True:
        opened.connection.run("SAVEPOINT waiting")
        try:
            opened.ask(_LOCK, parameters)
        except ConflictError as error:
            opened.connection.run("ROLLBACK TO SAVEPOINT waiting")
            before, holder = holder, _holder(opened)
            if (holder is None or holder != before) and time.monotonic() < deadline:
                continue
            raise ConflictError(
                "another change holds the lock" + _named(holder), hint="try again when it is done"
            ) from error
        opened.connection.run("RELEASE SAVEPOINT waiting")
        return


def _holder(opened: Session) -> Any:
    """Who has the lock, and in which transaction; None where that cannot be told."""
    return next(iter(opened.ask(_HOLDER, {"id": opened.organization_id})), None)


def _named(holder: Any) -> str:
    return f": {holder.name} ({holder.login}, pid {holder.pid})" if holder is not None else ""


def _read_outcome(open_change: Change) -> None:
    session = open_change.session
    found = session.granted
    if found is None:
        found = session.foreseen(OUTCOME, lambda: session.value(OUTCOME))
    outcome = open_change.outcome
    outcome.events = tuple(Event(**event) for event in found["events"] or ())
    outcome.raised = tuple(
        RaisedRevision(**raised | {"stamp": UUID(raised["stamp"])})
        for raised in found["raised"] or ()
    )
    outcome.epoch = found["epoch"]


def _ask_for_protected(open_change: Change) -> None:
    """Whatever changes what a protected environment serves asks back; what adds to it does not."""
    outcome = open_change.outcome
    protected = [raised.environment for raised in outcome.raised if raised.confirm]
    adds = all(
        event.action == "create" and (event.environment is None or event.entity_type == "api_key")
        for event in outcome.events
    )
    verb = "is" if len(protected) == 1 else "are"
    open_change.confirm(bool(protected) and not adds, f"{', '.join(protected)} {verb} protected")
