"""The state of a flag in one environment: on, off, a variant, or inherited."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, NamedTuple

from psycopg.types.json import Jsonb

from core.auth.actor import Permission
from core.errors import ConflictError, FlagctlError, InvalidInputError, NotFoundError
from core.evaluation.shares import default_share
from core.lookups import find_environment, find_flag
from core.names import check_key, closest
from core.services.change import OUTCOME, Change, Options
from core.sessions import Spot, Wish


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
    percent: float = 100.0  # of whom it serves the variant to
    expires_at: datetime | None = None  # the flag's; from then on it is off, whatever is set


class Place(NamedTuple):
    """An environment."""

    id: int
    key: str
    revision: int


class FlagRow(NamedTuple):
    """What of a flag decides what an environment serves."""

    id: int
    key: str
    variants: dict[str, Any]
    on_variant: str
    off_variant: str
    default_enabled: bool
    is_archived: bool
    expires_at: datetime | None
    salt: str


class StateRow(NamedTuple):
    """The override that is there."""

    enabled: bool | None
    targeting: dict[str, Any]


_SET_STATE: Final = (
    "SELECT flagctl.set_state(%(flag)s, %(environment)s, %(enabled)s, %(targeting)s)"
)
_MAX_BIGINT = 2**63 - 1
EMPTY_TARGETING: dict[str, Any] = {"format": 1, "rules": []}


@dataclass(frozen=True, slots=True)
class Rollout:
    """Serve a variant to `percent` of the contexts, by the attribute `by` (None: targetingKey)."""

    percent: float
    by: str | None = None


def set_override(
    change: Change, key: str, environment_key: str, wanted: str, rollout: Rollout | None = None
) -> Result:
    """`wanted` is a State or the name of a variant to serve. Rules stay as they are.

    Raises ConflictError for an archived flag, InvalidInputError for an unknown variant.
    """
    environment, flag, current = look_up(change, key, environment_key)
    check_editable(change, flag, environment)
    state, variant = _parse(flag, wanted)
    change.expect(environment.revision, what=f"the revision of {environment_key}")
    patch = _patch(state, variant)
    enabled = patch["enabled"]
    targeting = dict(current.targeting if current is not None else EMPTY_TARGETING)
    if "serve" in patch:
        targeting.pop("serve", None)
    if variant is not None:
        targeting["serve"] = patch["serve"]
    if rollout is not None:
        from core.services.targeting import check_targeting  # deferred: few writes need it

        targeting["serve"] = _split(flag, state, variant or flag.on_variant, rollout)
        check_targeting(change, flag, environment, targeting, targeting)
    before = (
        (current.enabled, current.targeting) if current is not None else (None, EMPTY_TARGETING)
    )
    if (enabled, targeting) != before:
        write(change, flag, environment, enabled, targeting)
    return _result(flag, environment, state, targeting)


def wish(
    key: str, environment: str, wanted: str, rollout: Rollout | None, options: Options
) -> Wish:
    """What `set_override` will write, as far as it can be known beforehand."""
    spot = Spot(key, environment)
    if rollout is not None:
        import core.services.targeting  # noqa: F401 - now, while nobody waits for our lock

        return Wish(spot)
    state = State(wanted) if wanted in tuple(State) else State.ON
    patch = _patch(state, None if wanted in tuple(State) else wanted)
    # No revision is above a bigint: what is meant by such a number fails like any other.
    if_revision = options.if_revision
    return Wish(spot, patch, None if if_revision is None else min(if_revision, _MAX_BIGINT))


def _patch(state: State, variant: str | None) -> dict[str, Any]:
    """Off keeps what on would serve."""
    enabled = {State.ON: True, State.OFF: False, State.INHERIT: None}[state]
    patch: dict[str, Any] = {"enabled": enabled}
    if state is not State.OFF:
        patch["serve"] = {"variant": variant} if variant is not None else None
    return patch


def check_editable(change: Change, flag: FlagRow, environment: Place) -> None:
    """Raises ForbiddenError, and ConflictError for an archived flag."""
    change.require(Permission.EDIT, in_environments=[environment])
    if flag.is_archived:
        raise ConflictError(
            f"the flag {flag.key!r} is archived", hint=f"first `flagctl unarchive {flag.key}`"
        )


def _split(flag: FlagRow, state: State, variant: str, rollout: Rollout) -> dict[str, Any]:
    if state is not State.ON:
        raise InvalidInputError(f"a rollout goes with on or a variant, not with {state}")
    if not 0 <= rollout.percent <= 100:
        raise InvalidInputError(f"a rollout has 0 to 100 percent, not {rollout.percent:g}")
    if variant == flag.off_variant:
        raise InvalidInputError(
            f"{variant!r} is what the rest is served", hint="name the variant to roll out"
        )
    rest = float(100 - Decimal(str(rollout.percent)))
    arms = [(variant, rollout.percent), (flag.off_variant, rest)]
    split: dict[str, Any] = {
        "arms": [{"serve": {"variant": name}, "weight": weight} for name, weight in arms]
    }
    if rollout.by is not None:
        split["by"] = {"attributes": [rollout.by]}
    return {"split": split}


def look_up(
    change: Change, key: str, environment_key: str
) -> tuple[Place, FlagRow, StateRow | None]:
    """All in one question: a write takes mostly as long as its questions. Raises NotFoundError."""
    check_key(key, noun="flag")
    check_key(environment_key, noun="environment")
    found = change.session.state_of(Spot(key, environment_key))
    if found is None:
        find_environment(change.session, environment_key)
        find_flag(change.session, key)
        raise NotFoundError(f"there is no flag {key!r}")  # not reached: one of them is missing
    override = None if found["override"] is None else StateRow(**found["override"])
    return Place(**found["environment"]), _flag(found["flag"]), override


def _flag(found: dict[str, Any]) -> FlagRow:
    """As JSON has it, but for the time."""
    expires_at = found["expires_at"]
    moment = datetime.fromisoformat(expires_at) if expires_at is not None else None
    return FlagRow(**found | {"expires_at": moment})


def _parse(flag: FlagRow, wanted: str) -> tuple[State, str | None]:
    if wanted in tuple(State):
        return State(wanted), None
    if wanted in flag.variants:
        return State.ON, wanted
    choices = [*State, *flag.variants]
    raise InvalidInputError(
        f"{wanted!r} is neither on, off, inherit nor a variant of {flag.key}",
        hint=closest(wanted, choices) or f"its variants are {', '.join(flag.variants)}",
    )


def write(
    change: Change,
    flag: FlagRow,
    environment: Place,
    enabled: bool | None,  # noqa: FBT001 - a column's value
    targeting: dict[str, Any],
) -> None:
    """Make the override, or change it, unless that was wished for and done already."""
    done = change.session.granted
    if done is not None:
        after = done["events"][0]["after"] if done["events"] else None
        if after is None or (after["enabled"], after["targeting"]) != (enabled, targeting):
            raise FlagctlError("Postgres wrote something else than was meant: nothing is committed")
        return
    at = {"flag": flag.id, "environment": environment.id}
    what = {"enabled": enabled, "targeting": Jsonb(targeting)}
    change.session.foresee(OUTCOME, change.session.value(_SET_STATE, at | what))


def _result(flag: FlagRow, environment: Place, state: State, targeting: dict[str, Any]) -> Result:
    enabled = flag.default_enabled if state is State.INHERIT else state is State.ON
    served, percent = default_share(targeting, flag.on_variant)
    if not enabled:
        served, percent = flag.off_variant, 100.0
    return Result(state, enabled, served, environment.revision, percent, flag.expires_at)
