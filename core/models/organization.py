from datetime import datetime

from sqlalchemy import Column, Identity, UniqueConstraint

from core.models.base import Attribute, Base


class Organization(Base):
    """A tenant; nothing crosses it. Its row lock orders all writes of the tenant."""

    __tablename__ = "organizations"
    __table_args__ = (UniqueConstraint("key", name="organizations_key_unique"),)

    id: Attribute[int] = Column(Identity(always=True), primary_key=True)
    key: Attribute[str]
    name: Attribute[str]
    key_pattern: Attribute[str]
    archived_at: Attribute[datetime | None]
    created_at: Attribute[datetime]
