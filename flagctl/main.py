"""The `flagctl` program: finds the command, loads only that, and turns errors into exit codes."""

import gc
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from itertools import zip_longest
from typing import Annotated, Any, NoReturn

import typer
from typer._click import Command, Context, HelpFormatter
from typer._click.exceptions import ClickException, NoArgsIsHelpError
from typer._click.utils import PacifyFlushWrapper
from typer.core import TyperGroup
from typer.main import get_command

import core
from core.errors import FlagctlError, InvalidInputError
from flagctl import output
from flagctl.errors import ExitCode, exit_code
from flagctl.parameters import defer_adapters
from flagctl.shared_options import add_shared_options, global_options
from flagctl.state import State

# name → where it is, and its first line of help: `flagctl --help` loads no command at all.
_SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Flags": {
        "set": ("flags:set_flag", "Turn a flag on or off in an environment."),
        "create": ("flags:create", "Create a flag."),
        "list": ("flags:list_all", "List flags with their state in each environment."),
        "show": ("flags:show", "Show one flag with all its environments."),
        "update": ("flags:update", "Change a flag's definition."),
        "archive": ("flags:archive", "Take a flag out of service; its history stays."),
        "unarchive": ("flags:unarchive", "Bring an archived flag back."),
        "delete": ("flags:delete", "Delete a flag and its state everywhere."),
    },
    "Configs and environments": {
        "config": (
            "configs:app",
            "Typed values: define, set, unset, get, list, show, update, delete.",
        ),
        "env": ("environments:app", "Environments: create, list, show, update, delete."),
        "key": ("keys:app", "API keys of applications: create, list, rotate, revoke."),
    },
    "History and people": {
        "audit": ("audit:app", "Who changed what, when and why: list, show."),
        "whoami": ("members:whoami", "Show who the token says you are, and your roles."),
        "member": ("members:app", "Members and their roles: add, list, remove."),
        "token": ("tokens:app", "Admin tokens: issue, list, revoke."),
        "org": ("organizations:app", "Your organization: show, update."),
    },
    "Installation": {
        "dev": ("dev:dev", "Run everything here, with an embedded Postgres and Redis."),
        "serve": ("serve:serve", "Run the read server."),
        "init": ("init:init", "Set up an empty database: schema, signing key, first admin."),
        "db": ("db:app", "The schema: upgrade, status, check, grants, new-epoch."),
    },
}
_ENTRIES = {name: entry for section in _SECTIONS.values() for name, entry in section.items()}


class RootGroup(TyperGroup):
    """Commands that are imported when they are asked for; errors that end in exit codes."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # The names alone: what completion and "did you mean" look at.
        self.commands = dict.fromkeys(_ENTRIES)  # type: ignore[assignment]
        self.params.extend(global_options())
        self.add_help_option = False

    def get_command(self, _ctx: Context, cmd_name: str) -> Command | None:
        entry = _ENTRIES.get(cmd_name)
        return _load(cmd_name, entry[0]) if entry is not None else None

    def format_commands(self, _ctx: Context, formatter: HelpFormatter) -> None:
        for title, section in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in section.items()])

    def main(  # type: ignore[override]  # always our own way to end
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> Any:
        arguments = list(sys.argv[1:] if args is None else args)
        extra |= {"standalone_mode": False, "obj": State()}
        defer_adapters(self)  # here, since Typer adds the parameters for completion late
        try:
            _check_text(arguments)
            result = super().main(arguments, prog_name, **extra)
        except NoArgsIsHelpError as error:
            output.line(error.ctx.get_help() if error.ctx else "")
            result = 0
        except ClickException as error:
            context = getattr(error, "ctx", None)
            hint = f"`{context.command_path} --help`" if context is not None else ""
            if (option := getattr(error, "option_name", "")) and option[1:2].isdigit():
                hint = f"a value that begins with - stands at the end, after --: `… -- {option}`"
            _end("usage", error.format_message(), hint, ExitCode.INVALID_INPUT, arguments)
        except FlagctlError as error:
            _end(error.code, error.message, error.hint, exit_code(error), arguments)
        except typer.Abort:
            _end("aborted", "stopped; nothing was changed", "", ExitCode.UNEXPECTED, arguments)
        except SystemExit as ended:
            # The reader of our output went away: nothing to say, and nobody to say it to.
            is_unheard = isinstance(sys.stdout, PacifyFlushWrapper)
            raise SystemExit(0 if is_unheard else ended.code) from None
        except Exception as error:
            # The type alone: texts of foreign errors can carry secrets.
            message = f"unexpected {type(error).__name__}{_place(error, arguments)}"
            hint = "please report this; -v shows where it happened"
            _end("unexpected", message, hint, ExitCode.UNEXPECTED, arguments)
        raise SystemExit(result if isinstance(result, int) else 0)


def _end(code: str, message: str, hint: str, status: int, arguments: list[str]) -> NoReturn:
    output.fail(code, message, hint, as_json=_wants_json(arguments))
    raise SystemExit(int(status))


def _check_text(arguments: list[str]) -> None:
    """Refuse bytes that are no text: neither Postgres nor a terminal could show them."""
    for argument in arguments:
        if any("\ud800" <= c <= "\udfff" or c == "\0" for c in argument):
            raise InvalidInputError(f"{argument!r} is not valid UTF-8 text")


def _wants_json(arguments: list[str]) -> bool:
    """Whether errors are JSON too; read off the words, since parsing them may be what failed."""
    wanted = os.environ.get("FLAGCTL_OUTPUT")
    for word, following in zip_longest(arguments, arguments[1:]):
        if word == "--":
            break
        if word in ("-o", "--output"):
            wanted = following
        elif word.startswith(("-o", "--output=")):
            wanted = word.removeprefix("--output=").removeprefix("-o")
    return wanted == "json"


def _place(error: Exception, arguments: list[str]) -> str:
    if not {"-v", "--verbose"} & set(arguments):
        return ""
    import traceback

    frames = traceback.extract_tb(error.__traceback__)
    return "".join(f"\n  {frame.filename}:{frame.lineno} in {frame.name}" for frame in frames)


def _load(name: str, where: str) -> Command:
    module, _, attribute = where.partition(":")
    found = getattr(import_module(f"flagctl.commands.{module}"), attribute)
    if not isinstance(found, typer.Typer):
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(name, no_args_is_help=False)(found)
        found = single
    found.rich_markup_mode = None
    command = get_command(found)
    command.name = name
    add_shared_options(command)
    return command


app = typer.Typer(
    name="flagctl",
    cls=RootGroup,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - Typer calls it so
    if wanted:
        output.line(f"flagctl {core.__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[  # noqa: FBT002 - Typer makes it an option
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Show the version and leave."
        ),
    ] = False,
) -> None:
    """Feature flags and runtime configuration on Postgres and Redis.

    Try: flagctl set new_checkout --env prod
    """


def run() -> None:
    """The console script."""
    # Imports make a hundred thousand objects and no garbage worth looking for.
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    if isinstance(sys.stdout, TextIOWrapper):
        # A character that the terminal's encoding lacks must not fail what is done already.
        sys.stdout.reconfigure(errors="backslashreplace")
    app(prog_name="flagctl")
