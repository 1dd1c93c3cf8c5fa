"""Organizations: your own, and, with the owner's connection, all of them."""

from typing import Annotated

import typer

from flagctl import output, tables, writes
from flagctl.options import writing
from flagctl.state import current

app = typer.Typer(no_args_is_help=True, help="Organizations: tenants that share nothing.")
Key = Annotated[str, typer.Argument(metavar="ORG", help="Which.")]


@app.command()
@writing
def create(
    key: Key,
    admin: Annotated[
        str, typer.Option("--admin", metavar="EMAIL", help="Who becomes its first admin.")
    ],
    name: Annotated[str, typer.Option("--name", help="Its name for people.")] = "",
) -> None:
    """Create an organization, with dev, staging and prod (owner's connection).

    \b
    flagctl org create acme --admin ann@example.com
    flagctl token issue ann@example.com --as-owner --org acme
    """
    from core.services.organizations import create_organization

    here = current()
    _, outcome = here.write_as_owner(
        lambda change: create_organization(change, key, name=name, admin_email=admin)
    )
    writes.report(here, outcome, {"organization": key, "admin": admin}, f"created {key}")


@app.command("list")
def list_(
    as_owner: Annotated[
        bool, typer.Option("--as-owner", help="All of them, with the owner's database address.")
    ] = False,
) -> None:
    """List the organizations that your token may act in.

    \b
    flagctl org list
    """
    from core.queries.organizations import list_all, list_own

    here = current()
    if as_owner:
        with here.reading_as_owner() as session:
            found = list_all(session)
    else:
        settings = here.settings
        found = list_own(settings.require("database_url"), settings.admin_token())
    here.show(
        found,
        lambda: tables.draw(
            found,
            [
                ("organization", lambda o: o.key),
                ("name", lambda o: o.name),
                ("state", lambda o: "archived" if o.archived else ""),
            ],
            empty="no organizations",
        ),
    )


@app.command()
def show() -> None:
    """Show your organization.

    \b
    flagctl org show
    """
    from core.queries.organizations import show_organization

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
                ("archived", organization.archived_at),
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
    """Rename it, or change what new flag and config keys must look like.

    \b
    flagctl org update --name "Acme Inc."
    """
    from core.services.organizations import update_organization

    here = current()
    _, outcome = here.write(
        lambda change: update_organization(change, name=name, key_pattern=key_pattern),
    )
    message = "updated" if outcome.changed else "nothing to change"
    writes.report(here, outcome, {"name": name, "key_pattern": key_pattern}, message)


@app.command()
@writing
def archive(key: Key) -> None:
    """Serve nothing of an organization any more; its history stays (owner's connection).

    \b
    flagctl org archive acme
    """
    from core.services.organizations import archive_organization

    here = current()
    _, outcome = here.write_as_owner(lambda change: archive_organization(change, key))
    verb = "archived" if outcome.changed else "was archived already:"
    writes.report(here, outcome, {"organization": key}, f"{verb} {key}")


@app.command()
@writing
def unarchive(key: Key) -> None:
    """Bring an archived organization back (owner's connection).

    \b
    flagctl org unarchive acme
    """
    from core.services.organizations import unarchive_organization

    here = current()
    _, outcome = here.write_as_owner(lambda change: unarchive_organization(change, key))
    verb = "brought back" if outcome.changed else "is not archived:"
    writes.report(here, outcome, {"organization": key}, f"{verb} {key}")
