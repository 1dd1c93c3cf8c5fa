from datetime import UTC, datetime
from typing import Any

from core.audit.record import AuditFilter, AuditRecord

DOCUMENT: dict[str, Any] = {
    "id": 7,
    "occurred_at": "2026-01-02T03:04:05.678901+00:00",
    "actor": "ann@example.com",
    "actor_name": "ann@example.com",
    "entity_type": "feature",
    "entity_key": "a",
    "environment": None,
    "action": "create",
    "before": None,
    "after": {"format": 1},
    "reason": None,
    "change_id": "c",
    "client_version": "flagctl/0.1.0",
    "revisions": {"dev": 2},
}


def test_a_record_is_read_with_its_time() -> None:
    record = AuditRecord.from_document(DOCUMENT | {"a_newer_field": 1})
    assert record.occurred_at == datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)
    assert (record.id, record.after, record.revisions) == (7, {"format": 1}, {"dev": 2})


def test_a_filter_says_only_what_it_filters() -> None:
    assert AuditFilter().as_document() == {"limit": 50}
    since = datetime(2026, 1, 2, tzinfo=UTC)
    assert AuditFilter(entity_key="a", since=since, limit=3).as_document() == {
        "entity_key": "a",
        "since": "2026-01-02T00:00:00+00:00",
        "limit": 3,
    }
