"""Loads snapshots from Postgres, over exactly the columns that the readers' group is granted."""

import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import psycopg
from psycopg.rows import namedtuple_row

from core.auth import stream_urls
from core.auth.api_keys import KeyKind
from core.db import translated
from core.evaluation.conditions import named_segments
from core.evaluation.ruleset import Ruleset, Segments
from core.flag_versions import VERSIONED, version_of
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
_BEGIN: Final = (
    "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY;"
    f" SET LOCAL statement_timeout = '{STATEMENT_TIMEOUT_SECONDS}s'"
)
_ENVIRONMENT: Final = """
SELECT e.id, e.organization_id, e.key, e.revision, e.stamp::text, flagctl.epoch(),
    (SELECT k.secret FROM flagctl.snapshot_key k) AS snapshot_key
FROM flagctl.environments e
JOIN flagctl.organizations o ON o.id = e.organization_id AND o.archived_at IS NULL
WHERE e.public_id = %s
"""
_FLAGS: Final = f"""
SELECT f.key, f.client_visible, {VERSIONED}
FROM flagctl.flags f
LEFT JOIN flagctl.overrides o ON o.flag_id = f.id AND o.environment_id = %s
WHERE f.organization_id = %s AND f.archived_at IS NULL
"""  # noqa: S608 - its parts are constants
_SEGMENTS: Final = "SELECT key, condition::text FROM flagctl.segments WHERE organization_id = %s"
_CONFIGS: Final = """
SELECT c.key, c.type, c.client_visible, v.value::text
FROM flagctl.configs c
JOIN flagctl.config_values v ON v.config_id = c.id
WHERE v.environment_id = %s
"""
_KEYS: Final = """
SELECT digest, public_id, kind, expires_at FROM flagctl.api_keys
WHERE environment_id = %s AND revoked_at IS NULL
"""
_Cursor = psycopg.Cursor[Any]


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
    connection: psycopg.Connection[Any], environment_id: str, *, unless: Version | None = None
) -> Snapshot | Version | None:
    """The snapshot of the environment with this public id; None when there is none, and in an
    archived organization.

    One REPEATABLE READ, READ ONLY transaction: the parts are of one revision. When the environment
    is still at `unless`, that is returned, and nothing more is read. Raises as core.db translates.
    """
    with translated(), _one_moment(connection) as cursor:
        row = cursor.execute(_ENVIRONMENT, [environment_id]).fetchone()
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
                flags=(flags := _flags(cursor, row.id, row.organization_id)),
                configs=_configs(cursor, row.id),
                segments=_segments(cursor, row.organization_id, flags),
            ),
            auth=Auth(
                _keys(cursor, row.id),
                stream_urls.secret_of(row.snapshot_key, environment_id),
            ),
        )


@contextmanager
def _one_moment(connection: psycopg.Connection[Any]) -> Iterator[_Cursor]:
    """A cursor in the transaction; its rows have their columns as attributes."""
    with connection.cursor(row_factory=namedtuple_row) as cursor:
        try:
            cursor.execute(_BEGIN)
            yield cursor
        finally:
            with suppress(psycopg.Error):  # whoever uses it next will see
                connection.rollback()


def _flags(cursor: _Cursor, environment: int, organization: int) -> tuple[Ruleset, ...]:
    rows = cursor.execute(_FLAGS, [environment, organization])
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


def _segments(cursor: _Cursor, organization: int, flags: tuple[Ruleset, ...]) -> Segments:
    """Those that a rule names, and those that such a one names: a change of any other does not
    raise this environment's revision."""
    found: dict[str, Any] = {}
    for row in cursor.execute(_SEGMENTS, [organization]):
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


def _configs(cursor: _Cursor, environment: int) -> tuple[document.Config, ...]:
    rows = cursor.execute(_CONFIGS, [environment])
    configs = (document.Config(row.key, row.type, row.client_visible, row.value) for row in rows)
    return tuple(sorted(configs, key=lambda config: config.key))


def _keys(cursor: _Cursor, environment: int) -> dict[bytes, KeyGrant]:
    """Expired keys are kept with their time: it passes while a snapshot is held."""
    rows = cursor.execute(_KEYS, [environment])
    return {row.digest: KeyGrant(row.public_id, KeyKind(row.kind), row.expires_at) for row in rows}
