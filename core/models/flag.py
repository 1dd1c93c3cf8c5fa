from datetime import datetime
from typing import Any

from sqlalchemy import Column, ForeignKeyConstraint, Identity, Integer, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY

from core.models.base import Attribute, Base


class Flag(Base):
    """A switch with a key, a type, named variants and a global default.

    `variants` maps a name to a JSON value. `salt` spreads its rollouts and never changes by itself.
    """

    __tablename__ = "flags"
    __table_args__ = (
        ForeignKeyConstraint(
            ["organization_id"], ["flagctl.organizations.id"], name="flags_organization_fkey"
        ),
        UniqueConstraint("organization_id", "key", name="flags_key_unique"),
        UniqueConstraint("id", "organization_id", name="flags_id_organization_unique"),
    )

    id: Attribute[int] = Column(Identity(always=True), primary_key=True)
    organization_id: Attribute[int]
    key: Attribute[str]
    type: Attribute[str]
    variants: Attribute[dict[str, Any]]
    on_variant: Attribute[str]
    off_variant: Attribute[str]
    default_enabled: Attribute[bool]
    description: Attribute[str]
    owner: Attribute[str]
    tags: Attribute[list[str]] = Column(ARRAY(Text()))
    permanent: Attribute[bool]
    client_visible: Attribute[bool]
    expires_at: Attribute[datetime | None]
    archived_at: Attribute[datetime | None]
    salt: Attribute[str]
    version: Attribute[int] = Column(Integer)
    created_at: Attribute[datetime]
    updated_at: Attribute[datetime]
