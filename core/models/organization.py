from datetime import datetime

from sqlalchemy import Identity, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base


class Organization(Base):
    """A tenant; nothing crosses it. Its row lock orders all writes of the tenant."""

    __tablename__ = "organizations"
    __table_args__ = (UniqueConstraint("key", name="organizations_key_unique"),)

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    key: Mapped[str]
    name: Mapped[str]
    key_pattern: Mapped[str]
    archived_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
