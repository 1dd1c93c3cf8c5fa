from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKeyConstraint, Identity, Index, Integer, UniqueConstraint
from sqlalchemy.dialects.postgresql import JSONB

from core.models.base import Attribute, Base


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

    id: Attribute[int] = Column(Identity(always=True), primary_key=True)
    organization_id: Attribute[int]
    key: Attribute[str]
    type: Attribute[str]
    schema: Attribute[Any | None] = Column(JSONB(none_as_null=True))
    description: Attribute[str]
    client_visible: Attribute[bool]
    version: Attribute[int] = Column(Integer)
    created_at: Attribute[datetime]
    updated_at: Attribute[datetime]


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

    id: Attribute[int] = Column(Identity(always=True), primary_key=True)
    organization_id: Attribute[int]
    config_id: Attribute[int]
    environment_id: Attribute[int]
    value: Attribute[Any] = Column(JSONB())
    version: Attribute[int] = Column(Integer)
    created_at: Attribute[datetime]
    updated_at: Attribute[datetime]
