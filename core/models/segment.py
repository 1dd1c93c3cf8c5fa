from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKeyConstraint, Identity, Integer, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base


class Segment(Base):
    """A named condition that rules share; see core/evaluation/conditions.py for its document."""

    __tablename__ = "segments"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id"], ["flagctl.organizations.id"], name="segments_organization_fkey"
        ),
        UniqueConstraint("organization_id", "key", name="segments_key_unique"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    organization_id: Mapped[int]
    key: Mapped[str]
    description: Mapped[str]
    condition: Mapped[Any] = mapped_column(JSONB())
    version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
