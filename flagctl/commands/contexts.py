"""Contexts: which of several installations the commands speak to."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flagctl import completion, output, tables
from flagctl.state import State, current

if TYPE_CHECKING:
    from core.settings import Settings

app = typer.Typer(no_args_is_help=True, help="Several installations in one settings file.")
Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="The context's name.", autocompletion=completion.contexts),
]


@app.command("list")
def list_() -> None:
    """List the contexts of the settings files; a star marks those in use.

    \b
    flagctl context list
    """
    from core.contexts import list_contexts

    here = current()
    wanted = here.given.get("context") or os.environ.get("FLAGCTL_CONTEXT") or None
    contexts = list_contexts(_files(), wanted)
    # Also when the one in use is not there, and no setting can be read.
    if (as_document := here.output_anyway) != "table":
        output.emit(contexts, as_document)
        return
    tables.draw(
        contexts,
        [
            ("", lambda c: "*" if c.in_use else ""),
            ("context", lambda c: c.name),
            ("sets", lambda c: c.settings),
            ("file", lambda c: c.file),
        ],
        empty="no contexts; they are tables [contexts.NAME] in config.toml",
    )


@app.command()
def use(name: Name) -> None:
    """Use a context from now on: writes one line into the file that has it.

    \b
    flagctl context use staging
    """
    from core import contexts

    here = current()
    changed = [str(path) for path in contexts.use(_files(), name)]
    if here.output != "table":
        output.emit({"context": name, "changed": bool(changed), "files": changed}, here.output)
        return
    verb = "is" if changed else "was already"
    output.line(f"the context {verb} {name}{''.join(f' · {path}' for path in changed)}")
    if (variable := os.environ.get("FLAGCTL_CONTEXT")) and variable != name:
        output.warn(f"FLAGCTL_CONTEXT is set, and comes first: {output.printable(variable)}")


@app.command()
def show(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME", help="Default: the one in use.", autocompletion=completion.contexts
        ),
    ] = None,
) -> None:
    """Show the settings that are in force, and where each comes from; never a secret.

    \b
    flagctl context show staging
    """
    here = current()
    if name is not None:
        here = State(here.given | {"context": name})
    rows = _rows(here.settings)
    here.show(
        {"context": here.settings.context, "settings": rows},
        lambda: tables.draw(
            rows,
            [
                ("setting", lambda r: r["name"]),
                ("value", lambda r: r["value"]),
                ("from", lambda r: r["source"]),
            ],
            empty="nothing is set: every setting has its default",
        ),
    )


def _rows(settings: "Settings") -> list[dict[str, Any]]:
    from core.settings import Secret

    rows = []
    for name, source in sorted(settings.sources.items()):
        value = getattr(settings, name)
        if value is not None:
            shown = _place(value) if isinstance(value, Secret) else value
            rows.append({"name": name, "value": shown, "source": source.name})
    return rows


def _place(secret: Any) -> str:
    """The host of an address, when it is certain that it is one; of all other secrets nothing."""
    from urllib.parse import urlsplit

    hidden = "(set)"
    try:
        parts = urlsplit(secret.reveal())
        host, port = parts.hostname, parts.port
    except ValueError:
        return hidden
    # Half a password stands behind the host when a character of it was not encoded.
    if not parts.scheme or not host or "@" in f"{parts.path}{parts.query}{parts.fragment}":
        return hidden
    return f"{parts.scheme}://{host}{f':{port}' if port else ''}"


def _files() -> list[Path]:
    from core import setting_files, settings

    warnings: list[str] = []
    files = setting_files.files(os.environ, settings.current_directory(), warnings)
    for warning in warnings:
        output.warn(warning)
    return files
