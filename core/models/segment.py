from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKeyConstraint, Identity, Integer, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB

from core.models.base import Attribute, Base


class Segment(Base):
    """A named condition that rules share; see core/evaluation/conditions.py for its document."""

    __tablename__ = "segments"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id"], ["flagctl.organizations.id"], name="segments_organization_fkey"
        ),
        UniqueConstraint("organization_id", "key", name="segments_key_unique"),
    )

    id: Attribute[int] = Column(Identity(always=True), primary_key=True)
    organization_id: Attribute[int]
    key: Attribute[str]
    description: Attribute[str]
    condition: Attribute[Any] = Column(JSONB())
    version: Attribute[int] = Column(Integer)
    created_at: Attribute[datetime]
    updated_at: Attribute[datetime]
