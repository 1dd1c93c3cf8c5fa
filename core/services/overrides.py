"""The state of a flag in one environment: on, off, a variant, or inherited."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from sqlalchemy import insert, select, update

from core.auth.actor import Permission
from core.errors import ConflictError, InvalidInputError, NotFoundError
from core.lookups import find_environment, find_flag
from core.models import Environment, Flag, Override
from core.names import check_key, closest
from core.services.change import Change


class State(StrEnum):
    ON = "on"
    OFF = "off"
    INHERIT = "inherit"


@dataclass(frozen=True, slots=True)
class Result:
    """What the environment serves now: the effective state and variant, and its revision before."""

    state: State
    enabled: bool
    variant: str
    revision: int


class _Place(NamedTuple):
    """An environment."""

    id: int
    key: str
    revision: int


class _Flag(NamedTuple):
    """What of a flag decides what an environment serves."""

    id: int
    organization_id: int
    key: str
    variants: dict[str, Any]
    on_variant: str
    off_variant: str
    default_enabled: bool
    archived_at: datetime | None


class _State(NamedTuple):
    """The override that is there."""

    id: int
    enabled: bool | None
    targeting: dict[str, Any]


def _columns(model: Any, of: Any) -> list[Any]:
    return [getattr(model, name) for name in of._fields]


EMPTY_TARGETING: dict[str, Any] = {"format": 1, "rules": []}


def set_override(change: Change, key: str, environment_key: str, wanted: str) -> Result:
    """`wanted` is a State or the name of a variant to serve. Rules stay as they are.

    Raises ConflictError for an archived flag, InvalidInputError for an unknown variant.
    """
    environment, flag, current = _look_up(change, key, environment_key)
    change.require(Permission.EDIT, in_environments=[environment])
    if flag.archived_at is not None:
        raise ConflictError(
            f"the flag {key!r} is archived", hint=f"first `flagctl unarchive {key}`"
        )
    state, variant = _parse(flag, wanted)
    change.expect(environment.revision, what=f"the revision of {environment_key}")
    enabled = {State.ON: True, State.OFF: False, State.INHERIT: None}[state]
    targeting = dict(current.targeting if current is not None else EMPTY_TARGETING)
    if state is not State.OFF:
        targeting.pop("serve", None)
    if variant is not None:
        targeting["serve"] = {"variant": variant}
    before = (
        (current.enabled, current.targeting) if current is not None else (None, EMPTY_TARGETING)
    )
    if (enabled, targeting) != before:
        _write(change, flag, environment, current, {"enabled": enabled, "targeting": targeting})
    return _result(flag, environment, state, targeting)


def _look_up(change: Change, key: str, environment_key: str) -> tuple[_Place, _Flag, _State | None]:
    """All in one query: a write takes mostly as long as its questions. Raises NotFoundError."""
    check_key(key, noun="flag")
    check_key(environment_key, noun="environment")
    places, flags, states = (
        _columns(model, of)
        for model, of in ((Environment, _Place), (Flag, _Flag), (Override, _State))
    )
    row = change.session.execute(
        select(*places, *flags, *states)
        .join_from(Environment, Flag, Flag.organization_id == Environment.organization_id)
        .outerjoin(
            Override,
            (Override.flag_id == Flag.id) & (Override.environment_id == Environment.id),
        )
        .where(
            Environment.organization_id == change.session.organization_id,
            Environment.key == environment_key,
            Flag.key == key,
        )
    ).one_or_none()
    if row is None:
        find_environment(change.session, environment_key)
        find_flag(change.session, key)
        raise NotFoundError(f"there is no flag {key!r}")  # not reached: one of them is missing
    first, second = len(places), len(places) + len(flags)
    state = None if row[second] is None else _State(*row[second:])
    return _Place(*row[:first]), _Flag(*row[first:second]), state


def _parse(flag: _Flag, wanted: str) -> tuple[State, str | None]:
    if wanted in tuple(State):
        return State(wanted), None
    if wanted in flag.variants:
        return State.ON, wanted
    choices = [*State, *flag.variants]
    raise InvalidInputError(
        f"{wanted!r} is neither on, off, inherit nor a variant of {flag.key}",
        hint=closest(wanted, choices) or f"its variants are {', '.join(flag.variants)}",
    )


def _write(
    change: Change,
    flag: _Flag,
    environment: _Place,
    current: _State | None,
    values: dict[str, Any],
) -> None:
    if current is not None:
        change.session.execute(update(Override).where(Override.id == current.id).values(**values))
        return
    change.session.execute(
        insert(Override).values(
            organization_id=flag.organization_id,
            flag_id=flag.id,
            environment_id=environment.id,
            **values,
        )
    )


def _result(flag: _Flag, environment: _Place, state: State, targeting: dict[str, Any]) -> Result:
    enabled = flag.default_enabled if state is State.INHERIT else state is State.ON
    served = targeting.get("serve", {}).get("variant", flag.on_variant)
    return Result(state, enabled, served if enabled else flag.off_variant, environment.revision)
