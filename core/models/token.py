from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    UniqueConstraint,
    text,
)

from core.models.base import Attribute, Base


class Token(Base):
    """A token that the built-in issuer signed; one that is not here is refused."""

    __tablename__ = "tokens"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id"], ["flagctl.organizations.id"], name="tokens_organization_fkey"
        ),
        ForeignKeyConstraint(["issuer_id"], ["flagctl.issuers.id"], name="tokens_issuer_fkey"),
        UniqueConstraint("jti", name="tokens_jti_unique"),
        CheckConstraint("subject !~ '^owner:|#'", name="tokens_subject_is_no_other_actor"),
        Index("tokens_organization_idx", "organization_id", text("created_at DESC")),
        Index("tokens_issuer_idx", "issuer_id"),
    )

    id: Attribute[int] = Column(Identity(always=True), primary_key=True)
    organization_id: Attribute[int]
    issuer_id: Attribute[int]
    jti: Attribute[UUID]
    subject: Attribute[str]
    expires_at: Attribute[datetime]
    revoked_at: Attribute[datetime | None]
    version: Attribute[int] = Column(Integer)
    created_at: Attribute[datetime]
    updated_at: Attribute[datetime]


class VerifiedToken(Base):
    """A token whose form and signature Postgres found good, by its digest. Nobody is granted it."""

    __tablename__ = "verified_tokens"
    __table_args__ = (Index("verified_tokens_expires_at_idx", "expires_at"),)

    digest: Attribute[bytes] = Column(primary_key=True)
    modulus: Attribute[bytes]
    header: Attribute[dict[str, Any]]
    claims: Attribute[dict[str, Any]]
    expires_at: Attribute[datetime]
    organization_id: Attribute[int]
