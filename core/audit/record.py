"""An audit event as the log gives it, and how to ask for some."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

ENTITY_TYPES = (
    "feature",
    "config",
    "segment",
    "environment",
    "api_key",
    "organization",
    "member",
    "token",
    "issuer",
    "signing_key",
)


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """`id` counts without gaps in the organization; `revisions` are those it made, by environment.

    `before` and `after` are the whole entity, None where it did not exist.
    """

    id: int
    occurred_at: datetime
    actor: str
    actor_name: str
    entity_type: str
    entity_key: str
    environment: str | None
    action: str
    before: Any
    after: Any
    reason: str | None
    change_id: str
    client_version: str
    revisions: Mapping[str, int]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "AuditRecord":
        values = {field.name: document[field.name] for field in fields(cls)}
        values["occurred_at"] = datetime.fromisoformat(values["occurred_at"])
        return cls(**values)


@dataclass(frozen=True, slots=True)
class AuditFilter:
    """What to show; None does not filter. `cursor` is the id to go on below."""

    id: int | None = None
    entity_type: str | None = None
    entity_key: str | None = None
    environment: str | None = None
    actor: str | None = None
    action: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    cursor: int | None = None
    limit: int = 50

    def as_document(self) -> dict[str, Any]:
        """The filters as `flagctl.audit_page` takes them."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value.isoformat() if isinstance(value, datetime) else value
            for name, value in values.items()
            if value is not None
        }
