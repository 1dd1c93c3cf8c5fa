from datetime import datetime
from typing import Any

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

from core.models.base import Attribute, Base


class Member(Base):
    """One role, in one environment or (null) in all, of a person or machine (issuer, subject), or
    of whatever holds a token of the issuer with these `claims`. `email` is how people know it."""

    __tablename__ = "members"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id"], ["flagctl.organizations.id"], name="members_organization_fkey"
        ),
        ForeignKeyConstraint(["issuer_id"], ["flagctl.issuers.id"], name="members_issuer_fkey"),
        ForeignKeyConstraint(
            ["environment_id", "organization_id"],
            ["flagctl.environments.id", "flagctl.environments.organization_id"],
            name="members_environment_fkey",
        ),
        UniqueConstraint(
            "organization_id",
            "issuer_id",
            "subject",
            "claims",
            "environment_id",
            name="members_role_unique",
            postgresql_nulls_not_distinct=True,
        ),
        Index("members_environment_idx", "environment_id"),
        Index("members_subject_idx", "issuer_id", text("COALESCE(subject, ''::text)")),
    )

    id: Attribute[int] = Column(Identity(always=True), primary_key=True)
    organization_id: Attribute[int]
    issuer_id: Attribute[int]
    subject: Attribute[str | None]
    claims: Attribute[dict[str, Any] | None] = Column(JSONB(none_as_null=True))
    email: Attribute[str]
    environment_id: Attribute[int | None]
    role: Attribute[str]
    version: Attribute[int] = Column(Integer)
    created_at: Attribute[datetime]
    updated_at: Attribute[datetime]
