"""Members and tokens as people read them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select

from core.models import Environment, Issuer, Member, Token
from core.sessions import Session


@dataclass(frozen=True, slots=True)
class MemberDetail:
    """One role; `environment` None is the whole organization.

    It is held by `subject` at `issuer`, or by whatever holds a token of it with these `claims`.
    """

    email: str
    role: str
    environment: str | None
    created_at: datetime
    issuer: str
    subject: str | None
    claims: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class TokenDetail:
    id: UUID
    email: str
    expires_at: datetime
    revoked_at: datetime | None
    created_at: datetime


def list_members(session: Session) -> list[MemberDetail]:
    statement = (
        select(
            Member.email,
            Member.role,
            Environment.key,
            Member.created_at,
            Issuer.issuer,
            Member.subject,
            Member.claims,
        )
        .join(Issuer, Issuer.id == Member.issuer_id)
        .join(Environment, Environment.id == Member.environment_id, isouter=True)
        .where(Member.organization_id == session.organization_id)
        .order_by(Member.email, Member.id)
    )
    return [MemberDetail(*tuple(row)) for row in session.execute(statement)]


def list_tokens(session: Session) -> list[TokenDetail]:
    """Newest first."""
    statement = (
        select(Token.jti, Token.subject, Token.expires_at, Token.revoked_at, Token.created_at)
        .where(Token.organization_id == session.organization_id)
        .order_by(Token.created_at.desc())
    )
    return [TokenDetail(*tuple(row)) for row in session.execute(statement)]
