"""All commands of flagctl, as Typer sees them."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from typer._click import Command
from typer.main import get_command

from flagctl import catalog, main

# As a process loads a command: once. Typer needs 20 ms for one that has others below it.
_load = functools.cache(catalog.load)


@contextmanager
def loaded_once() -> Iterator[None]:
    """What runs here runs in one process again and again."""
    with mock.patch.object(main, "load", _load):
        yield


def root() -> Command:
    return get_command(main.app)


def commands() -> Iterator[tuple[str, Command]]:
    """Each command that does something, by its full name: ("config set", …)."""
    for name in catalog.ENTRIES:
        command = _load(name)
        assert command is not None
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
