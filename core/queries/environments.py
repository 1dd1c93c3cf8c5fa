"""Environments as people read them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, func, select

from core.lookups import environments, find_environment
from core.models import ApiKey, ConfigValue, Override
from core.sessions import Session


@dataclass(frozen=True, slots=True)
class EnvironmentDetail:
    """`id` is the random one that API keys carry. The counts are what deleting it would lose."""

    key: str
    id: str
    revision: int
    confirm: bool
    description: str
    overrides: int
    config_values: int
    api_keys: int
    created_at: datetime


def list_environments(session: Session) -> list[EnvironmentDetail]:
    return [_detail(session, row) for row in environments(session)]


def show_environment(session: Session, key: str) -> EnvironmentDetail:
    return _detail(session, find_environment(session, key))


def _detail(session: Session, row: Row[Any]) -> EnvironmentDetail:
    def count(model: type[Override] | type[ConfigValue] | type[ApiKey], *where: Any) -> int:
        statement = select(func.count()).where(model.environment_id == row.id, *where)
        return int(session.execute(statement).scalar_one())

    return EnvironmentDetail(
        key=row.key,
        id=row.public_id,
        revision=row.revision,
        confirm=row.confirm,
        description=row.description,
        overrides=count(Override),
        config_values=count(ConfigValue),
        api_keys=count(ApiKey, ApiKey.revoked_at.is_(None)),
        created_at=row.created_at,
    )


@dataclass(frozen=True, slots=True)
class EnvironmentVersion:
    """What readers must at least serve."""

    key: str
    id: str
    epoch: str
    revision: int
    stamp: str


def environment_versions(session: Session) -> tuple[str, list[EnvironmentVersion]]:
    """The epoch, and the environments of the organization."""
    epoch: str = session.execute(select(func.flagctl.epoch())).scalar_one()
    rows = environments(session)
    return epoch, [
        EnvironmentVersion(row.key, row.public_id, epoch, row.revision, str(row.stamp))
        for row in rows
    ]
