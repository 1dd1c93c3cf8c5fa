from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKeyConstraint, Identity, Index, Integer, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base


class Config(Base):
    """The definition of a typed JSON value; `schema` is an optional JSON Schema for it."""

    __tablename__ = "configs"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id"], ["flagctl.organizations.id"], name="configs_organization_fkey"
        ),
        UniqueConstraint("organization_id", "key", name="configs_key_unique"),
        UniqueConstraint("id", "organization_id", name="configs_id_organization_unique"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    organization_id: Mapped[int]
    key: Mapped[str]
    type: Mapped[str]
    schema: Mapped[Any | None] = mapped_column(JSONB(none_as_null=True))
    description: Mapped[str]
    client_visible: Mapped[bool]
    version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]


class ConfigValue(Base):
    """What a config is in one environment."""

    __tablename__ = "config_values"
    __table_args__ = (
        ForeignKeyConstraint(
            ["config_id", "organization_id"],
            ["flagctl.configs.id", "flagctl.configs.organization_id"],
            name="config_values_config_fkey",
        ),
        ForeignKeyConstraint(
            ["environment_id", "organization_id"],
            ["flagctl.environments.id", "flagctl.environments.organization_id"],
            name="config_values_environment_fkey",
        ),
        UniqueConstraint(
            "config_id", "environment_id", name="config_values_config_environment_unique"
        ),
        Index("config_values_environment_idx", "environment_id"),
    )

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    organization_id: Mapped[int]
    config_id: Mapped[int]
    environment_id: Mapped[int]
    value: Mapped[Any] = mapped_column(JSONB())
    version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
