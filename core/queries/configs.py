"""Configs as people read them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from core.errors import NotFoundError
from core.lookups import find_config, find_environment
from core.models import Config, ConfigValue, Environment
from core.sessions import Session


@dataclass(frozen=True, slots=True)
class ConfigSummary:
    """A line of `flagctl config list`: `values` by environment, where there is one."""

    key: str
    type: str
    values: dict[str, Any]
    description: str
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class ConfigDetail:
    key: str
    type: str
    schema: Any
    description: str
    client_visible: bool
    version: int
    created_at: datetime
    updated_at: datetime
    values: dict[str, Any]


def list_configs(
    session: Session, *, environment: str | None = None, match: str | None = None
) -> list[ConfigSummary]:
    only = find_environment(session, environment).key if environment is not None else None
    statement = select(Config.__table__).where(Config.organization_id == session.organization_id)
    if match is not None:
        statement = statement.where(Config.key.contains(match, autoescape=True))
    configs = session.execute(statement.order_by(Config.key)).all()
    values = _values(session, [config.id for config in configs])
    return [
        ConfigSummary(
            key=config.key,
            type=config.type,
            values={
                key: value
                for key, value in values.get(config.id, {}).items()
                if only in (None, key)
            },
            description=config.description,
            updated_at=config.updated_at,
        )
        for config in configs
    ]


def show_config(session: Session, key: str) -> ConfigDetail:
    config = find_config(session, key)
    return ConfigDetail(
        key=config.key,
        type=config.type,
        schema=config.schema,
        description=config.description,
        client_visible=config.client_visible,
        version=config.version,
        created_at=config.created_at,
        updated_at=config.updated_at,
        values=_values(session, [config.id]).get(config.id, {}),
    )


def get_value(session: Session, key: str, environment_key: str) -> Any:
    """The value itself. Raises NotFoundError where none is set."""
    environment = find_environment(session, environment_key)
    config = find_config(session, key)
    row = session.execute(
        select(ConfigValue.value).where(
            ConfigValue.config_id == config.id, ConfigValue.environment_id == environment.id
        )
    ).one_or_none()
    if row is None:
        raise NotFoundError(
            f"{key} has no value in {environment_key}",
            hint=f"`flagctl config set {key} JSON --env {environment_key}` gives it one",
        )
    return row.value


def _values(session: Session, config_ids: list[int]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    if config_ids:
        statement = (
            select(ConfigValue.config_id, Environment.key, ConfigValue.value)
            .join(Environment, Environment.id == ConfigValue.environment_id)
            .where(ConfigValue.config_id.in_(config_ids))
            .order_by(Environment.id)
        )
        for row in session.execute(statement):
            found.setdefault(row.config_id, {})[row.key] = row.value
    return found
