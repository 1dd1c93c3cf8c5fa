from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKeyConstraint, Identity, Integer, Text, UniqueConstraint
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base


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

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)
    organization_id: Mapped[int]
    key: Mapped[str]
    type: Mapped[str]
    variants: Mapped[dict[str, Any]]
    on_variant: Mapped[str]
    off_variant: Mapped[str]
    default_enabled: Mapped[bool]
    description: Mapped[str]
    owner: Mapped[str]
    tags: Mapped[list[str]] = mapped_column(ARRAY(Text()))
    permanent: Mapped[bool]
    client_visible: Mapped[bool]
    expires_at: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]
    salt: Mapped[str]
    version: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime]
    updated_at: Mapped[datetime]
