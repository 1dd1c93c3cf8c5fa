from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Index, PrimaryKeyConstraint, UniqueConstraint, text
from sqlalchemy.dialects.postgresql import JSONB

from core.models.base import Attribute, Base


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

    organization_id: Attribute[int]
    seq: Attribute[int]
    change_id: Attribute[UUID]
    occurred_at: Attribute[datetime]
    actor: Attribute[str]
    actor_name: Attribute[str]
    entity_type: Attribute[str]
    entity_id: Attribute[int]
    entity_key: Attribute[str]
    environment_id: Attribute[int | None]
    environment: Attribute[str | None]
    action: Attribute[str]
    before: Attribute[Any | None] = Column(JSONB())
    after: Attribute[Any | None] = Column(JSONB())
    reason: Attribute[str | None]
    client_version: Attribute[str]


class AuditEventRevision(Base):
    """Which revision of which environment an event made."""

    __tablename__ = "audit_event_revisions"
    __table_args__ = (
        PrimaryKeyConstraint(
            "organization_id", "seq", "environment_id", name="audit_event_revisions_pkey"
        ),
        Index("audit_event_revisions_revision_idx", "environment_id", "revision"),
    )

    organization_id: Attribute[int]
    seq: Attribute[int]
    environment_id: Attribute[int]
    environment: Attribute[str]
    revision: Attribute[int]
