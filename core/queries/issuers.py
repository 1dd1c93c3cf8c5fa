"""Issuers and signing keys as people read them."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, func, select

from core import clock
from core.models import Issuer, IssuerKey, Member, Organization
from core.sessions import Session


@dataclass(frozen=True, slots=True)
class IssuerDetail:
    """`organization` None: the built-in one. `keys` may sign now; `members` are rows of roles."""

    issuer: str
    organization: str | None
    audience: str
    built_in: bool
    max_lifetime_seconds: int
    jwks_url: str | None
    keys: tuple[str, ...]
    members: int
    refreshed_at: datetime | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class SigningKeyDetail:
    """A key of the built-in issuer; `state` is live, ending, expired or revoked."""

    id: str
    state: str
    expires_at: datetime | None
    revoked_at: datetime | None
    created_at: datetime


def list_issuers(session: Session, *, organization: str | None = None) -> list[IssuerDetail]:
    """Those the session may see, or of these only an organization's; the built-in one first."""
    keys = (
        select(func.array_agg(IssuerKey.key_id))
        .where(IssuerKey.issuer_id == Issuer.id, _is_live())
        .scalar_subquery()
    )
    members = select(func.count()).where(Member.issuer_id == Issuer.id).scalar_subquery()
    statement = (
        select(
            Issuer.issuer,
            Organization.key.label("organization"),
            Issuer.audience,
            Issuer.built_in,
            Issuer.max_lifetime_seconds,
            Issuer.jwks_url,
            keys.label("key_ids"),
            members.label("members"),
            Issuer.refreshed_at,
            Issuer.created_at,
        )
        .join(Organization, Organization.id == Issuer.organization_id, isouter=True)
        .order_by(Issuer.built_in.desc(), Organization.key, Issuer.issuer)
    )
    if organization is not None:
        statement = statement.where(Issuer.built_in | (Organization.key == organization))
    return [
        IssuerDetail(
            issuer=row.issuer,
            organization=row.organization,
            audience=row.audience,
            built_in=row.built_in,
            max_lifetime_seconds=row.max_lifetime_seconds,
            jwks_url=row.jwks_url,
            keys=tuple(sorted(row.key_ids or ())),
            members=row.members,
            refreshed_at=row.refreshed_at,
            created_at=row.created_at,
        )
        for row in session.execute(statement)
    ]


def list_signing_keys(session: Session) -> list[SigningKeyDetail]:
    """Newest first, dead ones too."""
    statement = (
        select(IssuerKey.key_id, IssuerKey.expires_at, IssuerKey.revoked_at, IssuerKey.created_at)
        .join(Issuer, Issuer.id == IssuerKey.issuer_id)
        .where(Issuer.built_in)
        .order_by(IssuerKey.id.desc())
    )
    now = clock.now()
    return [
        SigningKeyDetail(
            row.key_id,
            _state(row.expires_at, row.revoked_at, now),
            row.expires_at,
            row.revoked_at,
            row.created_at,
        )
        for row in session.execute(statement)
    ]


def _is_live() -> ColumnElement[bool]:
    return IssuerKey.revoked_at.is_(None) & (
        IssuerKey.expires_at.is_(None) | (IssuerKey.expires_at > clock.now())
    )


def _state(expires_at: datetime | None, revoked_at: datetime | None, now: datetime) -> str:
    if revoked_at is not None:
        return "revoked"
    if expires_at is None:
        return "live"
    return "ending" if expires_at > now else "expired"
