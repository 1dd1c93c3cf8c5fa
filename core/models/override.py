from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, ForeignKeyConstraint, Identity, Index, Integer, UniqueConstraint

from core.models.base import Attribute, Base


class Override(Base):
    """The state of a flag in one environment; `enabled` null inherits the global default.

    `targeting` is a versioned document: {"format": 1, "serve"?: {"variant": name}, "rules": []}.
    """

    __tablename__ = "overrides"
    __table_args__ = (
        ForeignKeyConstraint(
            ["flag_id", "organization_id"],
            ["flagctl.flags.id", "flagctl.flags.organization_id"],
            name="overrides_flag_fkey",
        ),
        ForeignKeyConstraint(
            ["environment_id", "organization_id"],
            ["flagctl.environments.id", "flagctl.environments.organization_id"],
            name="overrides_environment_fkey",
        ),
        UniqueConstraint("flag_id", "environment_id", name="overrides_flag_environment_unique"),
        Index("overrides_environment_idx", "environment_id"),
    )

    id: Attribute[int] = Column(Identity(always=True), primary_key=True)
    organization_id: Attribute[int]
    flag_id: Attribute[int]
    environment_id: Attribute[int]
    enabled: Attribute[bool | None]
    targeting: Attribute[dict[str, Any]]
    write_id: Attribute[UUID | None]
    version: Attribute[int] = Column(Integer)
    created_at: Attribute[datetime]
    updated_at: Attribute[datetime]
