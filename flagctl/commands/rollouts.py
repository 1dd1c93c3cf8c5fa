"""Rollouts beyond `flagctl set --rollout`."""

import typer

from flagctl import writes
from flagctl.options import FlagKey, writing
from flagctl.state import current

app = typer.Typer(no_args_is_help=True, help="Splits: `set --rollout` and rules make them.")


@app.callback()
def group() -> None:
    """Splits: `set --rollout` and rules make them."""


@app.command()
@writing
def reshuffle(key: FlagKey) -> None:
    """Draw anew who is in: every split of the flag chooses other people, everywhere.

    \b
    flagctl rollout reshuffle new_checkout
    """
    from core.services.flags import reshuffle as reshuffle_flag

    here = current()
    _, outcome = here.write(lambda change: reshuffle_flag(change, key))
    writes.report(here, outcome, {"flag": key}, f"reshuffled {key}")
