"""Flags as people read them: the definition, and the state in every environment side by side."""

from collections import defaultdict
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from core import clock
from core.evaluation.shares import default_share
from core.evaluation.timed_changes import has_expired
from core.lookups import environments, find_environment, find_flag
from core.sessions import Session

# A parameter that is NULL asks nothing. A flag has a state if it has it in any of the environments.
_PAGE: Final = """
SELECT f.* FROM flagctl.flags f
WHERE f.organization_id = %(organization)s
    AND (%(archived)s OR f.archived_at IS NULL)
    AND (%(tag)s::text IS NULL OR f.tags @> ARRAY[%(tag)s::text])
    AND (%(owner)s::text IS NULL OR f.owner = %(owner)s)
    AND (%(match)s::text IS NULL OR position(%(match)s IN f.key) > 0)
    AND (%(after)s::text IS NULL OR f.key > %(after)s)
    AND (%(state)s::text IS NULL OR CASE WHEN %(state)s = 'expired' THEN f.expires_at <= %(now)s
        ELSE EXISTS (
            SELECT FROM unnest(%(environments)s::bigint[]) AS e (id)
            LEFT JOIN flagctl.overrides o ON o.flag_id = f.id AND o.environment_id = e.id
            WHERE CASE %(state)s WHEN 'inherit' THEN o.enabled IS NULL
                ELSE (coalesce(o.enabled, f.default_enabled)
                        AND (f.expires_at IS NULL OR f.expires_at > %(now)s)) = (%(state)s = 'on')
                END)
        END)
ORDER BY f.key
LIMIT %(limit)s
"""
_OVERRIDES: Final = """
SELECT flag_id, environment_id, enabled, targeting, updated_at FROM flagctl.overrides
WHERE (%(flags)s::bigint[] IS NULL OR flag_id = ANY (%(flags)s))
    AND (%(environments)s::bigint[] IS NULL OR environment_id = ANY (%(environments)s))
"""


@dataclass(frozen=True, slots=True)
class FlagState:
    """One environment: `state` is on, off or inherit; `enabled` and `variant` what that gives: off
    for a flag that has expired."""

    environment: str
    state: str
    enabled: bool
    variant: str
    value: Any
    percent: float  # of whom the variant is served to, where no rule answers
    rules: int
    updated_at: datetime | None
    revision: int  # the environment's, for --if-revision


@dataclass(frozen=True, slots=True)
class FlagSummary:
    """A line of `flagctl list`: `states` by environment."""

    key: str
    type: str
    default: str
    states: dict[str, str]
    tags: list[str]
    owner: str
    description: str
    archived: bool
    permanent: bool
    expires_at: datetime | None
    expired: bool
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class FlagDetail:
    """All of `flagctl show`."""

    key: str
    type: str
    variants: dict[str, Any]
    on_variant: str
    off_variant: str
    default: str
    description: str
    owner: str
    tags: list[str]
    permanent: bool
    client_visible: bool
    expires_at: datetime | None
    expired: bool
    archived_at: datetime | None
    version: int
    created_at: datetime
    updated_at: datetime
    environments: list[FlagState]


@dataclass(frozen=True, slots=True)
class Filter:
    """What `flagctl list` shows. `match` is a part of the key; archived ones only when asked.

    `state` is on or off (what it comes to, whatever is served), inherit (nothing of its own), in
    the environment or in any, or expired. `after` is the key that the last page ended with.
    """

    environment: str | None = None
    tag: str | None = None
    owner: str | None = None
    match: str | None = None
    archived: bool = False
    state: str | None = None
    after: str | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """`has_more` is whether flags come after these; the last key leads to them."""

    flags: list[FlagSummary]
    has_more: bool


def list_flags(session: Session, wanted: Filter) -> list[FlagSummary]:
    """By key. An unknown environment raises NotFoundError."""
    return page_of_flags(session, wanted).flags


def page_of_flags(session: Session, wanted: Filter) -> Page:
    """The same, with whether there are more than `limit`."""
    now = clock.now()
    rows = environments(session)
    if wanted.environment is not None:
        rows = [find_environment(session, wanted.environment)]
    found = session.ask(
        _PAGE,
        {
            "organization": session.organization_id,
            "archived": wanted.archived,
            "tag": wanted.tag,
            "owner": wanted.owner,
            "match": wanted.match,
            "after": wanted.after,
            "state": wanted.state,
            "environments": [row.id for row in rows],
            "now": now,
            "limit": None if wanted.limit is None else wanted.limit + 1,
        },
    )
    shown = found[: wanted.limit]
    overrides = overrides_of(session, flags=[flag.id for flag in shown])
    summaries = [_summary(flag, overrides[flag.id], rows, now) for flag in shown]
    return Page(summaries, len(found) > len(shown))


def show_flag(session: Session, key: str) -> FlagDetail:
    flag, now = find_flag(session, key), clock.now()
    overrides = overrides_of(session, flags=[flag.id])[flag.id]
    return FlagDetail(
        key=flag.key,
        type=flag.type,
        variants=flag.variants,
        on_variant=flag.on_variant,
        off_variant=flag.off_variant,
        default=_on_off(flag.default_enabled),
        description=flag.description,
        owner=flag.owner,
        tags=flag.tags,
        permanent=flag.permanent,
        client_visible=flag.client_visible,
        expires_at=flag.expires_at,
        expired=has_expired(flag.expires_at, now),
        archived_at=flag.archived_at,
        version=flag.version,
        created_at=flag.created_at,
        updated_at=flag.updated_at,
        environments=[_state(flag, overrides.get(e.id), e, now) for e in environments(session)],
    )


def overrides_of(
    session: Session, *, flags: list[int] | None = None, environments: list[int] | None = None
) -> dict[int, dict[int, Any]]:
    """By the ids of flag and environment: those of these flags, and in these environments."""
    found: dict[int, dict[int, Any]] = defaultdict(dict)
    for row in session.ask(_OVERRIDES, {"flags": flags, "environments": environments}):
        found[row.flag_id][row.environment_id] = row
    return found


def _summary(flag: Any, overrides: dict[int, Any], rows: list[Any], now: datetime) -> FlagSummary:
    states = {}
    for environment in rows:
        state = _state(flag, overrides.get(environment.id), environment, now)
        plain = state.variant == flag.on_variant or not state.enabled
        shown = _on_off(state.enabled) if plain else state.variant
        states[environment.key] = shown if state.percent == 100 else f"{shown} {state.percent:g}%"
    return FlagSummary(
        key=flag.key,
        type=flag.type,
        default=_on_off(flag.default_enabled),
        states=states,
        tags=flag.tags,
        owner=flag.owner,
        description=flag.description,
        archived=flag.archived_at is not None,
        permanent=flag.permanent,
        expires_at=flag.expires_at,
        expired=has_expired(flag.expires_at, now),
        updated_at=flag.updated_at,
    )


def _state(flag: Any, override: Any | None, environment: Any, now: datetime) -> FlagState:
    own = override.enabled if override is not None else None
    targeting: dict[str, Any] = override.targeting if override is not None else {}
    enabled = flag.default_enabled if own is None else own
    enabled = enabled and not has_expired(flag.expires_at, now)
    served, percent = default_share(targeting, flag.on_variant)
    variant = served if enabled else flag.off_variant
    return FlagState(
        environment=environment.key,
        state="inherit" if own is None else _on_off(own),
        enabled=enabled,
        variant=variant,
        value=flag.variants[variant],
        percent=percent if enabled else 100.0,
        rules=len(targeting.get("rules", [])),
        updated_at=override.updated_at if override is not None else None,
        revision=environment.revision,
    )


def _on_off(enabled: bool) -> str:  # noqa: FBT001 - one word for one bit
    return "on" if enabled else "off"


def targeting_of(session: Session, key: str, environment_key: str) -> dict[str, Any]:
    """The targeting document of a flag in one environment; empty where there is none."""
    environment, flag = find_environment(session, environment_key), find_flag(session, key)
    overrides = overrides_of(session, flags=[flag.id])
    override = overrides[flag.id].get(environment.id)
    targeting: dict[str, Any] = override.targeting if override is not None else {}
    return targeting
