"""The history of the organization, newest first."""

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from core.audit.record import AuditFilter, AuditRecord
from core.errors import NotFoundError
from core.sessions import Session
from core.settings import Secret

_PAGE = text("SELECT flagctl.audit_page(:token, :organization, :filters)").bindparams(
    bindparam("filters", type_=JSONB())
)


def list_events(session: Session, token: Secret, wanted: AuditFilter) -> list[AuditRecord]:
    """The same function of Postgres serves the HTTP endpoint: one page, one rule."""
    rows = session.execute(
        _PAGE,
        {
            "token": token.reveal(),
            "organization": session.organization,
            "filters": wanted.as_document(),
        },
    ).scalars()
    return [AuditRecord.from_document(row) for row in rows]


def show_event(session: Session, token: Secret, event_id: int) -> AuditRecord:
    found = list_events(session, token, AuditFilter(id=event_id))
    if not found:
        raise NotFoundError(f"there is no audit event {event_id}", hint="see `flagctl audit list`")
    return found[0]
