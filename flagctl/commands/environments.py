"""Environments."""

from typing import Annotated

import typer

from flagctl import completion, output, tables, writes
from flagctl.options import writing
from flagctl.state import current

app = typer.Typer(no_args_is_help=True, help="Environments: dev, staging, prod and your own.")
NewName = Annotated[str, typer.Argument(metavar="ENV", help="The environment's key.")]
Name = Annotated[
    str,
    typer.Argument(
        metavar="ENV", help="The environment's key.", autocompletion=completion.environments
    ),
]


@app.command()
@writing
def create(
    name: NewName,
    description: Annotated[str, typer.Option("--description", "-d", help="What it is for.")] = "",
    confirm: Annotated[
        bool, typer.Option("--confirm", help="Protect it: each write there asks back.")
    ] = False,
) -> None:
    """Create an environment.

    \b
    flagctl env create qa --description "For testers"
    flagctl env create live --confirm
    """
    from core.services.environments import create_environment

    here = current()
    _, outcome = here.write(
        lambda change: create_environment(change, name, description=description, confirm=confirm),
    )
    writes.report(here, outcome, {"environment": name}, f"created {name}")


@app.command("list")
def list_() -> None:
    """List environments with their revision and what is in them.

    \b
    flagctl env list
    """
    from core.queries.environments import list_environments

    here = current()
    with here.reading() as session:
        environments = list_environments(session)
    here.show(
        environments,
        lambda: tables.draw(
            environments,
            [
                ("environment", lambda e: e.key),
                ("revision", lambda e: e.revision),
                ("protected", lambda e: e.confirm),
                ("overrides", lambda e: e.overrides),
                ("configs", lambda e: e.config_values),
                ("keys", lambda e: e.api_keys),
                ("description", lambda e: e.description),
            ],
            empty="no environments; `flagctl env create ENV` makes one",
        ),
    )


@app.command()
def show(name: Name) -> None:
    """Show one environment.

    \b
    flagctl env show prod
    """
    from core.queries.environments import show_environment

    here = current()
    with here.reading() as session:
        environment = show_environment(session, name)
    here.show(
        environment,
        lambda: output.fields(
            [
                ("environment", environment.key),
                ("id", environment.id),
                ("revision", environment.revision),
                ("protected", environment.confirm),
                ("description", environment.description),
                ("overrides", environment.overrides),
                ("config values", environment.config_values),
                ("live keys", environment.api_keys),
                ("created", environment.created_at),
            ]
        ),
    )


@app.command()
@writing
def update(
    name: Name,
    description: Annotated[
        str | None, typer.Option("--description", "-d", help="What it is for.")
    ] = None,
    confirm: Annotated[
        bool | None,
        typer.Option("--confirm/--no-confirm", help="Whether each write there asks back."),
    ] = None,
) -> None:
    """Change an environment's description or protection.

    \b
    flagctl env update prod --confirm
    """
    from core.services.environments import Edit, update_environment

    here = current()
    _, outcome = here.write(
        lambda change: update_environment(change, name, Edit(description, confirm)),
    )
    message = f"updated {name}" if outcome.changed else f"{name}: nothing to change"
    writes.report(here, outcome, {"environment": name}, message)


@app.command()
@writing
def delete(name: Name) -> None:
    """Delete an environment with all states, values and keys in it.

    \b
    flagctl env delete qa
    """
    from core.services.environments import delete_environment

    here = current()
    output.ask_to_type(name, noun="environment", needed=here.asks_back, where=here.in_context)
    _, outcome = here.write(
        lambda change: delete_environment(change, name),
    )
    writes.report(here, outcome, {"environment": name}, f"deleted {name}")
