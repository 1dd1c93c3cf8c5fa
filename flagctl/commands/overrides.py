"""What a flag is in an environment, and by default."""

from typing import TYPE_CHECKING, Annotated

import typer

from core import clock
from flagctl import completion, output, writes
from flagctl.options import Env, FlagKey, writing
from flagctl.state import current
from flagctl.times import relative

if TYPE_CHECKING:
    from core.services.overrides import Result


@writing
def set_flag(
    key: FlagKey,
    state: Annotated[
        str,
        typer.Argument(
            metavar="[on|off|inherit|VARIANT]",
            help="What to serve.",
            autocompletion=completion.states,
        ),
    ] = "on",
    env: Env = None,
    default: Annotated[
        bool, typer.Option("--default", help="Set the global default instead of an environment.")
    ] = False,
    rollout: Annotated[
        float | None,
        typer.Option("--rollout", metavar="PERCENT", help="Serve it to this share only."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="ATTRIBUTE", help="Spread by this, not by targetingKey."),
    ] = None,
) -> None:
    """Turn a flag on or off in an environment.

    \b
    flagctl set new_checkout --env prod
    flagctl set new_checkout off --env prod --reason "errors in checkout"
    flagctl set new_checkout --env prod --rollout 25
    flagctl set checkout_layout compact --env staging
    flagctl set new_checkout inherit --env dev
    """
    from core.errors import InvalidInputError

    if rollout is None and by is not None:
        raise InvalidInputError("--by goes with --rollout PERCENT")
    if default and rollout is not None:
        raise InvalidInputError("a rollout is an environment's: use --env, not --default")
    if default:
        _set_default(key, state, env)
    else:
        _set_in_environment(key, state, env, rollout, by)


def _set_in_environment(
    key: str, state: str, env: str | None, rollout: float | None, by: str | None
) -> None:
    from core.evaluation.timed_changes import has_expired
    from core.services import overrides

    share = overrides.Rollout(rollout, by) if rollout is not None else None
    here = current()
    environment = here.environment(env)
    result, outcome = here.write(
        lambda change: overrides.set_override(change, key, environment, state, share),
        wish=lambda options: overrides.wish(key, environment, state, share, options),
    )
    expired = has_expired(result.expires_at, clock.now())
    document = {
        "flag": key,
        "environment": environment,
        "enabled": result.enabled,
        "variant": result.variant,
        "state": result.state,
        **({"expired": True} if expired else {}),
    }
    verb = "is" if outcome.changed else "was already"
    message = f"{key} {verb} {_shown(result, state)} in {environment}"
    writes.report(here, outcome, document, message, revision=result.revision)
    if expired:
        output.warn(
            f"{key} expired {relative(result.expires_at)}, and answers off until "
            f"`flagctl update {key} --expires DATE|never`"
        )


def _shown(result: "Result", wanted: str) -> str:
    shown = "on" if result.enabled else "off"
    if result.state == "inherit":
        shown = f"inherited ({shown})"
    elif result.enabled and wanted not in ("on", "inherit"):
        shown = f"on, serving {result.variant}"
    return shown if result.percent == 100 else f"{shown} for {result.percent:g} %"


def _set_default(key: str, state: str, env: str | None) -> None:
    from core.errors import InvalidInputError
    from core.services.flags import set_default

    if env is not None:
        raise InvalidInputError("--default and --env exclude each other")
    if state not in ("on", "off"):
        raise InvalidInputError(f"the global default is on or off, not {state!r}")
    here = current()
    _, outcome = here.write(lambda change: set_default(change, key, enabled=state == "on"))
    verb = "is" if outcome.changed else "was already"
    document = {"flag": key, "environment": None, "enabled": state == "on", "variant": None}
    writes.report(here, outcome, document, f"{key} {verb} {state} by default")
