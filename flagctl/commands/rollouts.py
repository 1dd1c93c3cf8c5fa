"""Rollouts beyond `flagctl set --rollout`."""

from typing import Annotated

import typer

from flagctl import completion, writes
from flagctl.options import writing
from flagctl.state import current

app = typer.Typer(no_args_is_help=True, help="Splits: `set --rollout` and rules make them.")


@app.callback()
def group() -> None:
    """Splits: `set --rollout` and rules make them."""


@app.command()
@writing
def reshuffle(
    key: Annotated[
        str,
        typer.Argument(metavar="KEY", help="The flag's key.", autocompletion=completion.flag_keys),
    ],
) -> None:
    """Draw anew who is in: every split of the flag chooses other people, everywhere.

    \b
    flagctl rollout reshuffle new_checkout
    """
    from core.services.flags import reshuffle as reshuffle_flag

    here = current()
    _, outcome = here.write(lambda change: reshuffle_flag(change, key))
    writes.report(here, outcome, {"flag": key}, f"reshuffled {key}")
