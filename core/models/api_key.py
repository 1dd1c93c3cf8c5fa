from datetime import datetime

from sqlalchemy import (
    Column,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    UniqueConstraint,
)

from core.models.base import Attribute, Base


class ApiKey(Base):
    """What an application reads one environment with; only its SHA-256 digest is kept."""

    __tablename__ = "api_keys"
    __table_args__ = (
        ForeignKeyConstraint(
            ["environment_id", "organization_id"],
            ["flagctl.environments.id", "flagctl.environments.organization_id"],
            name="api_keys_environment_fkey",
        ),
        UniqueConstraint("digest", name="api_keys_digest_unique"),
        UniqueConstraint("organization_id", "public_id", name="api_keys_public_id_unique"),
        Index("api_keys_environment_idx", "environment_id"),
    )

    id: Attribute[int] = Column(Identity(always=True), primary_key=True)
    organization_id: Attribute[int]
    environment_id: Attribute[int]
    public_id: Attribute[str]
    name: Attribute[str]
    kind: Attribute[str]
    digest: Attribute[bytes]
    expires_at: Attribute[datetime | None]
    revoked_at: Attribute[datetime | None]
    version: Attribute[int] = Column(Integer)
    created_at: Attribute[datetime]
    updated_at: Attribute[datetime]
