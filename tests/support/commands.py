"""All commands of flagctl, as Typer sees them."""

from collections.abc import Iterator

from typer._click import Command, Context
from typer.main import get_command

from flagctl.main import app


def root() -> Command:
    return get_command(app)


def commands() -> Iterator[tuple[str, Command]]:
    """Each command that does something, by its full name: ("config set", …)."""
    group = root()
    context = Context(group)
    for name in group.commands:  # type: ignore[attr-defined]
        command = group.get_command(context, name)  # type: ignore[attr-defined]
        inner = getattr(command, "commands", None)
        if inner is None:
            yield name, command
            continue
        if getattr(command, "invoke_without_command", False):
            yield name, command
        for inner_name, inner_command in inner.items():
            yield f"{name} {inner_name}", inner_command


def options(command: Command) -> set[str]:
    """The long forms of its own options, without those that every command has."""
    known = {"--output", "--org", "--context", "--verbose", "--help"}
    found = {o for p in command.params for o in (*p.opts, *p.secondary_opts) if o.startswith("--")}
    return found - known
