"""Members, tokens and organizations as people read them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import select

from core.models import Environment, Member, Organization, Token
from core.sessions import Session


@dataclass(frozen=True, slots=True)
class MemberDetail:
    """One role; `environment` None is the whole organization."""

    email: str
    role: str
    environment: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TokenDetail:
    id: UUID
    email: str
    expires_at: datetime
    revoked_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class OrganizationDetail:
    key: str
    name: str
    key_pattern: str
    created_at: datetime


def list_members(session: Session) -> list[MemberDetail]:
    statement = (
        select(Member.email, Member.role, Environment.key, Member.created_at)
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


def show_organization(session: Session) -> OrganizationDetail:
    statement = select(
        Organization.key, Organization.name, Organization.key_pattern, Organization.created_at
    ).where(Organization.id == session.organization_id)
    return OrganizationDetail(*tuple(session.execute(statement).one()))
