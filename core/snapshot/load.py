"""Loads snapshots from Postgres, over exactly the columns that the readers' group is granted."""

import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Text, and_, bindparam, cast, func, select, text

from core.auth import stream_urls
from core.auth.api_keys import KeyKind
from core.db import translated
from core.evaluation.conditions import named_segments
from core.evaluation.ruleset import Ruleset, Segments
from core.flag_versions import VERSIONED, version_of
from core.models import (
    ApiKey,
    Config,
    ConfigValue,
    Environment,
    Flag,
    Organization,
    Override,
    Segment,
    SnapshotKey,
)
from core.snapshot import document
from core.snapshot.document import Auth, KeyGrant, Served, Snapshot, Version

STATEMENT_TIMEOUT_SECONDS: Final = 10
_log = logging.getLogger(__name__)

# The state of all environments in one query, for `state_of`: one row even without any environment.
# Text, because the server asks it on an asynchronous connection of its own.
STATE_SQL: Final = """
SELECT i.epoch, k.secret, e.public_id, e.revision, e.stamp::text
FROM (SELECT flagctl.epoch() AS epoch) i
CROSS JOIN flagctl.snapshot_key k
LEFT JOIN (flagctl.environments e JOIN flagctl.organizations o
    ON o.id = e.organization_id AND o.archived_at IS NULL) ON true
"""


# Built once: building them takes as long as running them.
_LIMIT: Final = text(f"SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_SECONDS}s'")
_ENVIRONMENT: Final = (
    select(
        Environment.id,
        Environment.organization_id,
        Environment.key,
        Environment.revision,
        cast(Environment.stamp, Text).label("stamp"),
        func.flagctl.epoch(type_=Text).label("epoch"),
        select(SnapshotKey.secret).scalar_subquery().label("snapshot_key"),
    )
    .join(Organization, Organization.id == Environment.organization_id)
    .where(Environment.public_id == bindparam("environment"), Organization.archived_at.is_(None))
)
_FLAGS: Final = (
    select(
        Flag.key,
        Flag.client_visible,
        *VERSIONED,
    )
    .join_from(
        Flag,
        Override,
        and_(Override.flag_id == Flag.id, Override.environment_id == bindparam("environment")),
        isouter=True,
    )
    .where(Flag.organization_id == bindparam("organization"), Flag.archived_at.is_(None))
)
_SEGMENTS: Final = select(Segment.key, cast(Segment.condition, Text).label("condition")).where(
    Segment.organization_id == bindparam("organization")
)
_CONFIGS: Final = (
    select(
        Config.key, Config.type, Config.client_visible, cast(ConfigValue.value, Text).label("text")
    )
    .join_from(Config, ConfigValue, ConfigValue.config_id == Config.id)
    .where(ConfigValue.environment_id == bindparam("environment"))
)
_KEYS: Final = select(ApiKey.digest, ApiKey.public_id, ApiKey.kind, ApiKey.expires_at).where(
    ApiKey.environment_id == bindparam("environment"), ApiKey.revoked_at.is_(None)
)


@dataclass(frozen=True, slots=True)
class State:
    """What Postgres says now: its epoch, the secret of the seals, the version of each environment
    by public id."""

    epoch: str
    secret: bytes
    versions: Mapping[str, Version]


def state_of(rows: Sequence[tuple[Any, ...]]) -> State:
    """The state from the rows of `STATE_SQL`."""
    epoch, secret = rows[0][0], bytes(rows[0][1])
    return State(
        epoch,
        secret,
        {row[2]: Version(epoch, row[3], row[4]) for row in rows if row[2] is not None},
    )


def load(
    connection: Connection, environment_id: str, *, unless: Version | None = None
) -> Snapshot | Version | None:
    """The snapshot of the environment with this public id; None when there is none, and in an
    archived organization.

    One REPEATABLE READ, READ ONLY transaction: the parts are of one revision. When the environment
    is still at `unless`, that is returned, and nothing more is read. Raises as core.db translates.
    """
    connection = connection.execution_options(
        isolation_level="REPEATABLE READ", postgresql_readonly=True
    )
    with translated(), connection.begin():
        connection.execute(_LIMIT)
        row = connection.execute(_ENVIRONMENT, {"environment": environment_id}).one_or_none()
        if row is None:
            return None
        version = Version(row.epoch, row.revision, row.stamp)
        if version == unless:
            return version
        return Snapshot(
            environment_id=environment_id,
            key=row.key,
            epoch=row.epoch,
            revision=row.revision,
            stamp=row.stamp,
            served=Served(
                flags=(flags := _flags(connection, row.id, row.organization_id)),
                configs=_configs(connection, row.id),
                segments=_segments(connection, row.organization_id, flags),
            ),
            auth=Auth(
                _keys(connection, row.id),
                stream_urls.secret_of(bytes(row.snapshot_key), environment_id),
            ),
        )


def _flags(connection: Connection, environment: int, organization: int) -> tuple[Ruleset, ...]:
    parameters = {"environment": environment, "organization": organization}
    rows = connection.execute(_FLAGS, parameters)
    return tuple(sorted(_readable_flags(rows), key=lambda flag: flag.key))


def _readable_flags(rows: Iterable[Any]) -> Iterable[Ruleset]:
    """A flag that only raw SQL can have made (a number that Python refuses) is left out: it must
    not take the environment with it."""
    for row in rows:
        try:
            variants = _parse(row.variants_text)
            stored = row.targeting_text
            targeting = None if stored is None else _parse(stored)
        except (ValueError, RecursionError):
            _log.error("a flag has a value that cannot be served", extra={"flag": row.key})
            continue
        own = row.own_enabled
        yield Ruleset(
            key=row.key,
            type=row.type,
            variants=variants,
            on_variant=row.on_variant,
            off_variant=row.off_variant,
            enabled=row.default_enabled if own is None else own,
            targeting=targeting,
            salt=row.salt,
            client_visible=row.client_visible,
            expires_at=row.expires_at,
            version=version_of(row),
        )


def _segments(connection: Connection, organization: int, flags: tuple[Ruleset, ...]) -> Segments:
    """Those that a rule names, and those that such a one names: a change of any other does not
    raise this environment's revision."""
    found: dict[str, Any] = {}
    for row in connection.execute(_SEGMENTS, {"organization": organization}):
        try:
            found[row.key] = _parse(row.condition)
        except (ValueError, RecursionError):
            _log.error("a segment has a value that cannot be used", extra={"segment": row.key})
    wanted = set().union(*(named_segments(flag.targeting) for flag in flags))
    used: set[str] = set()
    while wanted:
        used |= wanted
        wanted = set().union(*(named_segments(found.get(key)) for key in wanted)) - used
    return {key: found[key] for key in sorted(found) if key in used}


def _parse(stored: str) -> Any:
    """JSONB's text as a value. Raises ValueError for a number that no double can hold."""
    return json.loads(stored, parse_float=_float)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise ValueError("too large for a double")
    return value


def _configs(connection: Connection, environment: int) -> tuple[document.Config, ...]:
    rows = connection.execute(_CONFIGS, {"environment": environment})
    configs = (document.Config(row.key, row.type, row.client_visible, row.text) for row in rows)
    return tuple(sorted(configs, key=lambda config: config.key))


def _keys(connection: Connection, environment: int) -> dict[bytes, KeyGrant]:
    """Expired keys are kept with their time: it passes while a snapshot is held."""
    rows = connection.execute(_KEYS, {"environment": environment})
    return {
        bytes(row.digest): KeyGrant(row.public_id, KeyKind(row.kind), row.expires_at)
        for row in rows
    }
