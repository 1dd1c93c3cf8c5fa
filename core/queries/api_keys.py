"""API keys as people read them: never the key, never its digest."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import select

from core import clock
from core.lookups import find_environment
from core.models import ApiKey, Environment
from core.sessions import Session


@dataclass(frozen=True, slots=True)
class KeyDetail:
    """`state` is live, expired or revoked."""

    id: str
    name: str
    kind: str
    environment: str
    state: str
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime


def list_keys(
    session: Session, *, environment: str | None = None, include_dead: bool = False
) -> list[KeyDetail]:
    """Live keys, oldest first; with `include_dead` the expired and revoked ones too."""
    statement = (
        select(
            ApiKey.public_id,
            ApiKey.name,
            ApiKey.kind,
            Environment.key,
            ApiKey.expires_at,
            ApiKey.revoked_at,
            ApiKey.created_at,
        )
        .join(Environment, Environment.id == ApiKey.environment_id)
        .where(ApiKey.organization_id == session.organization_id)
        .order_by(ApiKey.id)
    )
    if environment is not None:
        found = find_environment(session, environment)
        statement = statement.where(ApiKey.environment_id == found.id)
    now = clock.now()
    keys = [
        KeyDetail(
            id=row.public_id,
            name=row.name,
            kind=row.kind,
            environment=row.key,
            state=_state(row.expires_at, row.revoked_at, now),
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            created_at=row.created_at,
        )
        for row in session.execute(statement)
    ]
    return [key for key in keys if include_dead or key.state == "live"]


def _state(expires_at: datetime | None, revoked_at: datetime | None, now: datetime) -> str:
    if revoked_at is not None:
        return "revoked"
    return "expired" if expires_at is not None and expires_at <= now else "live"
