"""Organizations as people read them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select, text

from core.alchemy import connect
from core.db import translated
from core.models import Organization
from core.sessions import Session
from core.settings import Secret

_OF_BEARER = text("SELECT flagctl.organizations_of(:token)")


@dataclass(frozen=True, slots=True)
class OrganizationSummary:
    """A line of `flagctl org list`."""

    key: str
    name: str
    archived: bool


@dataclass(frozen=True, slots=True)
class OrganizationDetail:
    key: str
    name: str
    key_pattern: str
    created_at: datetime
    archived_at: datetime | None


def list_own(url: Secret, token: Secret) -> list[OrganizationSummary]:
    """Those that the bearer may name with `--org`. Without a session: that is of one of them."""
    with connect(url, application_name="flagctl") as connection, translated():
        rows = connection.execute(_OF_BEARER, {"token": token.reveal()}).scalars()
        return [OrganizationSummary(**row) for row in rows]


def list_all(session: Session) -> list[OrganizationSummary]:
    """Every one, for the owner."""
    statement = select(
        Organization.key, Organization.name, Organization.archived_at.is_not(None)
    ).order_by(Organization.key)
    rows: list[Any] = [tuple(row) for row in session.execute(statement)]
    return [OrganizationSummary(*row) for row in rows]


def show_organization(session: Session) -> OrganizationDetail:
    statement = select(
        Organization.key,
        Organization.name,
        Organization.key_pattern,
        Organization.created_at,
        Organization.archived_at,
    ).where(Organization.id == session.organization_id)
    return OrganizationDetail(*tuple(session.execute(statement).one()))
