"""The organization."""

from typing import Annotated

import typer

from flagctl import output, writes
from flagctl.options import writing
from flagctl.state import current

app = typer.Typer(no_args_is_help=True, help="Your organization.")


@app.command()
def show() -> None:
    """Show your organization."""
    from core.queries.members import show_organization

    here = current()
    with here.reading() as session:
        organization = show_organization(session)
    here.show(
        organization,
        lambda: output.fields(
            [
                ("organization", organization.key),
                ("name", organization.name),
                ("key pattern", organization.key_pattern),
                ("created", organization.created_at),
            ]
        ),
    )


@app.command()
@writing
def update(
    name: Annotated[str | None, typer.Option("--name", help="Its name for people.")] = None,
    key_pattern: Annotated[
        str | None,
        typer.Option("--key-pattern", metavar="REGEX", help="What new keys must look like."),
    ] = None,
) -> None:
    """Change the name, or what new flag and config keys must look like."""
    from core.services.organizations import update_organization

    here = current()
    _, outcome = here.write(
        lambda change: update_organization(change, name=name, key_pattern=key_pattern),
    )
    message = "updated" if outcome.changed else "nothing to change"
    writes.report(here, outcome, {"name": name, "key_pattern": key_pattern}, message)
