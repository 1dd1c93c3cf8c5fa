"""Options that a command has without naming them: those of every command, those of every write."""

from collections.abc import Callable
from typing import Annotated, Any, get_args

import typer
from typer._click import Command, Context, Parameter
from typer.main import get_command

from flagctl import completion
from flagctl import output as printer
from flagctl.parameters import defer_adapters
from flagctl.state import State

_COMPLETION_PARAMETERS = frozenset({"install_completion", "show_completion"})


def add_shared_options(command: Command) -> None:
    """To a command, and to those below it."""
    command.add_help_option = False
    command.params = [p for p in command.params if p.name not in _COMPLETION_PARAMETERS]
    if getattr(command.callback, "writes", False):
        command.params += _hidden_from_the_command(_write_options)
    known = {option for parameter in command.params for option in parameter.opts}
    command.params += [p for p in global_options() if not known & set(p.opts)]
    defer_adapters(command)
    for inner in getattr(command, "commands", {}).values():
        add_shared_options(inner)


def global_options() -> list[Parameter]:
    """Accepted before and after the command."""
    return _hidden_from_the_command(_global_options)


def _global_options(
    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="table|json|yaml", help="How to print (default: table)."
        ),
    ] = None,
    org: Annotated[
        str | None, typer.Option("--org", metavar="ORG", help="The organization.")
    ] = None,
    context: Annotated[
        str | None,
        typer.Option(
            "--context",
            metavar="NAME",
            help="A named context of config.toml.",
            autocompletion=completion.contexts,
        ),
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Say more when something fails.")
    ] = False,
    help_: Annotated[
        bool, typer.Option("--help", "-h", is_eager=True, help="Show this message and leave.")
    ] = False,
) -> None:
    """Only its parameters are used."""


def _write_options(
    reason: Annotated[
        str | None, typer.Option("--reason", metavar="TEXT", help="Why, for the audit log.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change, and change nothing.")
    ] = False,
    if_revision: Annotated[
        int | None,
        typer.Option(
            "--if-revision",
            metavar="N",
            min=0,
            help="Only if nothing changed since: the environment's revision, or without --env the"
            " version that `show` prints, or the last audit id.",
        ),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask back.")] = False,
    wait: Annotated[
        bool,
        typer.Option(
            "--wait", help="Until the readers that are up serve it; exit 8 names one that does not."
        ),
    ] = False,
    timeout: Annotated[
        str | None,
        typer.Option("--timeout", metavar="DURATION", help="How long to --wait (default: 10s)."),
    ] = None,
) -> None:
    """Only its parameters are used."""


def _hidden_from_the_command(declared: Callable[..., None]) -> list[Parameter]:
    """The parameters of a function, made to go into the state instead of into the command."""
    holder = typer.Typer(add_completion=False, rich_markup_mode=None)
    holder.command()(declared)
    command = get_command(holder)
    defer_adapters(command)
    for parameter in command.params:
        parameter.expose_value = False
        parameter.callback = _show_help if parameter.is_eager else _remember
    return command.params


def _show_help(ctx: Context, _parameter: Parameter, wanted: Any) -> None:
    """Our own, since the one that commands have by themselves needs an adapter at each start."""
    if wanted and not ctx.resilient_parsing:
        printer.line(ctx.get_help())
        raise typer.Exit


def _remember(ctx: Context, parameter: Parameter, value: Any) -> None:
    if value is None or value is False or parameter.name is None:
        return
    if parameter.name == "output" and value not in get_args(printer.Format):
        choices = ", ".join(get_args(printer.Format))
        raise typer.BadParameter(f"{value!r} is not one of {choices}.", ctx)
    state: State = ctx.find_root().obj
    state.given[parameter.name] = value
