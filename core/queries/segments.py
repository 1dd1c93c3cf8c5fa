"""Segments as people read them, and who uses them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from core.lookups import find_segment
from core.models import Segment
from core.segment_uses import Use, uses_of
from core.sessions import Session


@dataclass(frozen=True, slots=True)
class SegmentDetail:
    key: str
    description: str
    condition: Any
    version: int
    created_at: datetime
    updated_at: datetime
    used_by: list[Use]


def list_segments(session: Session) -> list[SegmentDetail]:
    """By key; who uses them is left out."""
    rows = session.execute(
        select(Segment.__table__)
        .where(Segment.organization_id == session.organization_id)
        .order_by(Segment.key)
    )
    return [_detail(row, []) for row in rows]


def show_segment(session: Session, key: str) -> SegmentDetail:
    """Raises NotFoundError with the closest matches."""
    return _detail(find_segment(session, key), uses_of(session, key))


def _detail(row: Any, used_by: list[Use]) -> SegmentDetail:
    return SegmentDetail(
        row.key,
        row.description,
        row.condition,
        row.version,
        row.created_at,
        row.updated_at,
        used_by,
    )
