"""Find a row by the key people type, or say which keys come close."""

from typing import Any, LiteralString

from core.errors import NotFoundError
from core.json_text import JsonValue
from core.names import check_key, closest
from core.sessions import Session


def find_flag(session: Session, key: str) -> Any:
    """All columns of a flag. Raises NotFoundError with the closest matches."""
    return _find(session, "flags", key, "flag", "flagctl list")


def find_config(session: Session, key: str) -> Any:
    return _find(session, "configs", key, "config", "flagctl config list")


def find_segment(session: Session, key: str) -> Any:
    return _find(session, "segments", key, "segment", "flagctl segment list")


def find_environment(session: Session, key: str) -> Any:
    return _find(session, "environments", key, "environment", "flagctl env list")


def environments(session: Session) -> list[Any]:
    """All environments of the organization, in the order they were made."""
    query = (
        "SELECT * FROM flagctl.environments WHERE organization_id = %(organization)s ORDER BY id"
    )
    return session.ask(query, {"organization": session.organization_id})


def segment_documents(session: Session) -> dict[str, JsonValue]:
    """Every segment of the organization."""
    rows = session.ask(
        "SELECT key, condition FROM flagctl.segments"
        " WHERE organization_id = %(organization)s ORDER BY key",
        {"organization": session.organization_id},
    )
    return {row.key: row.condition for row in rows}


def _find(
    session: Session, table: LiteralString, key: str, noun: LiteralString, listing: str
) -> Any:
    of_tenant: LiteralString = f"FROM flagctl.{table} WHERE organization_id = %(organization)s"
    where = {"organization": session.organization_id, "key": check_key(key, noun=noun)}
    found = session.ask(f"SELECT * {of_tenant} AND key = %(key)s", where)
    if found:
        return found[0]
    known = [row.key for row in session.ask(f"SELECT key {of_tenant}", where)]
    raise NotFoundError(
        f"there is no {noun} {key!r}", hint=closest(key, known) or f"see `{listing}`"
    )
