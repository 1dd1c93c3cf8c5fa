"""The state of a flag in one environment: on, off, a variant, or inherited."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import Row, insert, select, update

from core.auth.actor import Permission
from core.errors import ConflictError, InvalidInputError
from core.lookups import find_environment, find_flag
from core.models import Override
from core.names import closest
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


EMPTY_TARGETING: dict[str, Any] = {"format": 1, "rules": []}


def set_override(change: Change, key: str, environment_key: str, wanted: str) -> Result:
    """`wanted` is a State or the name of a variant to serve. Rules stay as they are.

    Raises ConflictError for an archived flag, InvalidInputError for an unknown variant.
    """
    session = change.session
    environment = find_environment(session, environment_key)
    flag = find_flag(session, key)
    change.require(Permission.EDIT, in_environments=[environment])
    if flag.archived_at is not None:
        raise ConflictError(
            f"the flag {key!r} is archived", hint=f"first `flagctl unarchive {key}`"
        )
    state, variant = _parse(flag, wanted)
    change.expect(environment.revision, what=f"the revision of {environment_key}")
    current = session.execute(
        select(Override.id, Override.enabled, Override.targeting).where(
            Override.flag_id == flag.id, Override.environment_id == environment.id
        )
    ).one_or_none()
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


def _parse(flag: Row[Any], wanted: str) -> tuple[State, str | None]:
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
    flag: Row[Any],
    environment: Row[Any],
    current: Row[Any] | None,
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


def _result(
    flag: Row[Any], environment: Row[Any], state: State, targeting: dict[str, Any]
) -> Result:
    enabled = flag.default_enabled if state is State.INHERIT else state is State.ON
    served = targeting.get("serve", {}).get("variant", flag.on_variant)
    return Result(state, enabled, served if enabled else flag.off_variant, environment.revision)
