from datetime import datetime

from sqlalchemy import ForeignKeyConstraint, Identity, Index, Integer, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base


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

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    organization_id: Mapped[int]
    environment_id: Mapped[int]
    public_id: Mapped[str]
    name: Mapped[str]
    kind: Mapped[str]
    digest: Mapped[bytes] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
