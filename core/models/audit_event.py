from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Index, PrimaryKeyConstraint, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base


class AuditEvent(Base):
    """Who did what, when, with the whole entity before and after. Triggers write it, nobody else.

    `seq` has no gaps within an organization and rises with `occurred_at`.
    """

    __tablename__ = "audit_events"
    __table_args__ = (
        PrimaryKeyConstraint("organization_id", "seq", name="audit_events_pkey"),
        UniqueConstraint(
            "change_id",
            "entity_type",
            "entity_id",
            "environment_id",
            name="audit_events_one_per_entity",
            postgresql_nulls_not_distinct=True,
        ),
        Index(
            "audit_events_entity_idx",
            "organization_id",
            "entity_type",
            "entity_key",
            text("seq DESC"),
        ),
        Index("audit_events_environment_idx", "organization_id", "environment", text("seq DESC")),
        Index("audit_events_actor_idx", "organization_id", "actor", text("seq DESC")),
        Index("audit_events_occurred_at_idx", "organization_id", text("occurred_at DESC")),
    )

    organization_id: Mapped[int]
    seq: Mapped[int]
    change_id: Mapped[UUID]
    occurred_at: Mapped[datetime]
    actor: Mapped[str]
    actor_name: Mapped[str]
    entity_type: Mapped[str]
    entity_id: Mapped[int]
    entity_key: Mapped[str]
    environment_id: Mapped[int | None]
    environment: Mapped[str | None]
    action: Mapped[str]
    before: Mapped[Any | None] = mapped_column(JSONB())
    after: Mapped[Any | None] = mapped_column(JSONB())
    reason: Mapped[str | None]
    client_version: Mapped[str]


class AuditEventRevision(Base):
    """Which revision of which environment an event made."""

    __tablename__ = "audit_event_revisions"
    __table_args__ = (
        PrimaryKeyConstraint(
            "organization_id", "seq", "environment_id", name="audit_event_revisions_pkey"
        ),
        Index("audit_event_revisions_revision_idx", "environment_id", "revision"),
    )

    organization_id: Mapped[int]
    seq: Mapped[int]
    environment_id: Mapped[int]
    environment: Mapped[str]
    revision: Mapped[int]
