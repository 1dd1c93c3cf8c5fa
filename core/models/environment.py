from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Identity, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base


class Environment(Base):
    """dev, staging, prod… with the revision that rises with each change to what it serves.

    `public_id` is random: it stands in API keys, Redis and notifications. `revision`, `stamp` and
    `revised_in` are written by triggers only.
    """

    __tablename__ = "environments"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id"],
            ["flagctl.organizations.id"],
            name="environments_organization_fkey",
        ),
        UniqueConstraint("public_id", name="environments_public_id_unique"),
        UniqueConstraint("organization_id", "key", name="environments_key_unique"),
        UniqueConstraint("id", "organization_id", name="environments_id_organization_unique"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    organization_id: Mapped[int]
    public_id: Mapped[str]
    key: Mapped[str]
    description: Mapped[str]
    confirm: Mapped[bool]
    revision: Mapped[int]
    stamp: Mapped[UUID]
    revised_in: Mapped[UUID | None]
    version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
