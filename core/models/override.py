from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKeyConstraint, Identity, Index, Integer, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base


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

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    organization_id: Mapped[int]
    flag_id: Mapped[int]
    environment_id: Mapped[int]
    enabled: Mapped[bool | None]
    targeting: Mapped[dict[str, Any]]
    write_id: Mapped[UUID | None]
    version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
