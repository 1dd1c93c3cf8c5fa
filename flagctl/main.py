"""The `flagctl` program: finds the command, loads only that, and turns errors into exit codes."""

import gc
import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from itertools import zip_longest
from typing import Annotated, Any, NoReturn

import typer
from typer._click import Command, Context, HelpFormatter
from typer._click.exceptions import ClickException, NoArgsIsHelpError
from typer._click.shell_completion import CompletionItem
from typer._click.utils import PacifyFlushWrapper
from typer.core import TyperGroup

import core
from core.errors import FlagctlError, InvalidInputError
from flagctl import completion, output
from flagctl.catalog import ENTRIES, SECTIONS, load
from flagctl.errors import ExitCode, exit_code
from flagctl.parameters import defer_adapters
from flagctl.shared_options import global_options
from flagctl.state import State


class RootGroup(TyperGroup):
    """Commands that are imported when they are asked for; errors that end in exit codes."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        # The names alone: what completion and "did you mean" look at.
        self.commands = dict.fromkeys(ENTRIES)  # type: ignore[assignment]
        self.params.extend(global_options())
        self.add_help_option = False

    def get_command(self, _ctx: Context, cmd_name: str) -> Command | None:
        return load(cmd_name)

    def shell_complete(self, ctx: Context, incomplete: str) -> list[CompletionItem]:
        """From the catalog: Typer's own way loads every command."""
        names = [name for name in ENTRIES if name.startswith(incomplete)]
        items = [CompletionItem(name, help=ENTRIES[name][1]) for name in names]
        return items + Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, _ctx: Context, formatter: HelpFormatter) -> None:
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, text) for name, (_, text) in section.items()])

    def main(  # type: ignore[override]  # always our own way to end
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> Any:
        arguments = list(sys.argv[1:] if args is None else args)
        state = State()
        extra |= {"standalone_mode": False, "obj": state}
        defer_adapters(self)  # here, since Typer adds the parameters for completion late
        if completion.is_asked_for():
            completion.in_silence(lambda: super(RootGroup, self).main([], prog_name, **extra))
        try:
            _check_text(arguments)
            result = super().main(arguments, prog_name, **extra)
            state.finish()
        except NoArgsIsHelpError as error:
            output.line(error.ctx.get_help() if error.ctx else "")
            result = 0
        except ClickException as error:
            from flagctl.usage import explained  # deferred: what is typed right needs none of it

            _end("usage", *explained(error), ExitCode.INVALID_INPUT, arguments)
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
    # redis-py imports it wherever it is installed (readserver.redis_library).
    sys.modules.setdefault("opentelemetry", None)  # type: ignore[arg-type]
    if isinstance(sys.stdout, TextIOWrapper):
        # A character that the terminal's encoding lacks must not fail what is done already.
        sys.stdout.reconfigure(errors="backslashreplace")
    app(prog_name="flagctl")
