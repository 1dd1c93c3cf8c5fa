from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    CheckConstraint,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base


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

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    organization_id: Mapped[int]
    issuer_id: Mapped[int]
    jti: Mapped[UUID]
    subject: Mapped[str]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class VerifiedToken(Base):
    """A token whose form and signature Postgres found good, by its digest. Nobody is granted it."""

    __tablename__ = "verified_tokens"
    __table_args__ = (Index("verified_tokens_expires_at_idx", "expires_at"),)

    digest: Mapped[bytes] = mapped_column(LargeBinary, primary_key=True)
    modulus: Mapped[bytes] = mapped_column(LargeBinary)
    header: Mapped[dict[str, Any]]
    claims: Mapped[dict[str, Any]]
    expires_at: Mapped[datetime]
    organization_id: Mapped[int]
