"""Find a row by the key people type, or say which keys come close."""

from typing import Any

from sqlalchemy import Row, select

from core.errors import NotFoundError
from core.json_text import JsonValue
from core.models import Config, Environment, Flag, Segment
from core.names import check_key, closest
from core.sessions import Session

_Keyed = type[Flag] | type[Config] | type[Environment] | type[Segment]


def find_flag(session: Session, key: str) -> Row[Any]:
    """All columns of a flag. Raises NotFoundError with the closest matches."""
    return _find(session, Flag, check_key(key, noun="flag"), "flag", "flagctl list")


def find_config(session: Session, key: str) -> Row[Any]:
    return _find(session, Config, check_key(key, noun="config"), "config", "flagctl config list")


def find_segment(session: Session, key: str) -> Row[Any]:
    return _find(
        session, Segment, check_key(key, noun="segment"), "segment", "flagctl segment list"
    )


def find_environment(session: Session, key: str) -> Row[Any]:
    return _find(
        session, Environment, check_key(key, noun="environment"), "environment", "flagctl env list"
    )


def environments(session: Session) -> list[Row[Any]]:
    """All environments of the organization, in the order they were made."""
    return list(
        session.execute(
            select(Environment.__table__)
            .where(Environment.organization_id == session.organization_id)
            .order_by(Environment.id)
        )
    )


def segment_documents(session: Session) -> dict[str, JsonValue]:
    """Every segment of the organization."""
    rows = session.execute(
        select(Segment.key, Segment.condition)
        .where(Segment.organization_id == session.organization_id)
        .order_by(Segment.key)
    )
    return {row.key: row.condition for row in rows}


def _find(session: Session, model: _Keyed, key: str, noun: str, listing: str) -> Row[Any]:
    of_tenant = model.organization_id == session.organization_id
    row = session.execute(select(model.__table__).where(of_tenant, model.key == key)).one_or_none()
    if row is not None:
        return row
    known = session.execute(select(model.key).where(of_tenant)).scalars()
    raise NotFoundError(
        f"there is no {noun} {key!r}", hint=closest(key, known) or f"see `{listing}`"
    )
