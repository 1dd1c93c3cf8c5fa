"""Typed configs: the definition for all environments, a value for each."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, delete, insert, select, update

from core.auth.actor import Permission
from core.errors import ConflictError, InvalidInputError
from core.json_text import JsonValue, equal
from core.lookups import environments, find_config, find_environment
from core.models import Config, ConfigValue, Environment
from core.names import check_new_key, check_text
from core.services.change import Change
from core.services.json_schemas import check_against, check_schema
from core.value_types import ValueType, check_value


@dataclass(frozen=True, slots=True)
class Definition:
    """What a config is. `schema` is a JSON Schema, None for none."""

    key: str
    type: ValueType
    schema: JsonValue = None
    description: str = ""
    client_visible: bool = False


@dataclass(frozen=True, slots=True)
class Edit:
    """What to change; None leaves a field as it is."""

    schema: JsonValue = None
    drop_schema: bool = False
    description: str | None = None
    client_visible: bool | None = None


def define_config(change: Change, definition: Definition) -> None:
    session = change.session
    change.require_everywhere(Permission.EDIT)
    check_new_key(definition.key, noun="config", pattern=session.key_pattern)
    taken = select(Config.id).where(
        Config.organization_id == session.organization_id, Config.key == definition.key
    )
    if session.execute(taken).first():
        raise ConflictError(
            f"the config {definition.key!r} exists already",
            hint=f"`flagctl config show {definition.key}`",
        )
    change.expect(0, what=f"the version of {definition.key} (which does not exist)")
    if definition.schema is not None:
        check_schema(definition.schema)
    session.execute(
        insert(Config).values(
            organization_id=session.organization_id,
            key=definition.key,
            type=definition.type,
            schema=definition.schema,
            description=check_text(definition.description, what="the description"),
            client_visible=definition.client_visible,
        )
    )


def update_config(change: Change, key: str, edit: Edit) -> None:
    """A new schema must fit every value that is set. Raises InvalidInputError otherwise."""
    change.require_everywhere(Permission.EDIT)
    config = _existing(change, key)
    values: dict[str, Any] = {}
    if edit.drop_schema:
        values["schema"] = None
    elif edit.schema is not None:
        check_schema(edit.schema)
        for environment, value in _values(change, config):
            check_against(value, edit.schema, what=f"the value in {environment}")
        values["schema"] = edit.schema
    if edit.description is not None:
        values["description"] = check_text(edit.description, what="the description")
    if edit.client_visible is not None:
        values["client_visible"] = edit.client_visible
    if not values:
        raise InvalidInputError(
            "nothing to change is named", hint="see `flagctl config update --help`"
        )
    change.session.execute(update(Config).where(Config.id == config.id).values(**values))


def delete_config(change: Change, key: str) -> None:
    """The definition and its value in every environment are gone; the audit log keeps them."""
    config = _existing(change, key)
    change.require(Permission.ADMINISTER, in_environments=environments(change.session))
    change.session.execute(delete(ConfigValue).where(ConfigValue.config_id == config.id))
    change.session.execute(delete(Config).where(Config.id == config.id))


def set_value(change: Change, key: str, environment_key: str, value: JsonValue) -> int:
    """Validate against type and schema, then store. Returns the revision from before."""
    environment, config, current = _place(change, key, environment_key)
    if value is None:
        raise InvalidInputError(
            f"the value of {key} cannot be null", hint=f"`flagctl config unset {key}` removes it"
        )
    check_value(value, ValueType(config.type), what=f"the value of {key}")
    if config.schema is not None:
        check_against(value, config.schema, what=f"the value of {key}")
    if current is not None and equal(current.value, value):
        return int(environment.revision)
    if current is not None:
        statement = update(ConfigValue).where(ConfigValue.id == current.id).values(value=value)
        change.session.execute(statement)
    else:
        change.session.execute(
            insert(ConfigValue).values(
                organization_id=config.organization_id,
                config_id=config.id,
                environment_id=environment.id,
                value=value,
            )
        )
    return int(environment.revision)


def unset_value(change: Change, key: str, environment_key: str) -> int:
    """Take the value away in one environment, if there is one. Returns the revision from before."""
    environment, _config, current = _place(change, key, environment_key)
    if current is not None:
        change.session.execute(delete(ConfigValue).where(ConfigValue.id == current.id))
    return int(environment.revision)


def _existing(change: Change, key: str) -> Any:
    config = find_config(change.session, key)
    change.expect(config.version, what=f"the version of {key}")
    return config


def _place(
    change: Change, key: str, environment_key: str
) -> tuple[Row[Any], Row[Any], Row[Any] | None]:
    session = change.session
    environment = find_environment(session, environment_key)
    config = find_config(session, key)
    change.require(Permission.EDIT, in_environments=[environment])
    change.expect(environment.revision, what=f"the revision of {environment_key}")
    current = session.execute(
        select(ConfigValue.id, ConfigValue.value).where(
            ConfigValue.config_id == config.id, ConfigValue.environment_id == environment.id
        )
    ).one_or_none()
    return environment, config, current


def _values(change: Change, config: Row[Any]) -> list[tuple[str, Any]]:
    rows = change.session.execute(
        select(Environment.key, ConfigValue.value)
        .join(Environment, Environment.id == ConfigValue.environment_id)
        .where(ConfigValue.config_id == config.id)
    )
    return [(row.key, row.value) for row in rows]
