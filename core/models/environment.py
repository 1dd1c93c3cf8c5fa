from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, ForeignKeyConstraint, Identity, Integer, UniqueConstraint

from core.models.base import Attribute, Base


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

    id: Attribute[int] = Column(Identity(always=True), primary_key=True)
    organization_id: Attribute[int]
    public_id: Attribute[str]
    key: Attribute[str]
    description: Attribute[str]
    confirm: Attribute[bool]
    revision: Attribute[int]
    stamp: Attribute[UUID]
    revised_in: Attribute[UUID | None]
    version: Attribute[int] = Column(Integer)
    created_at: Attribute[datetime]
    updated_at: Attribute[datetime]
