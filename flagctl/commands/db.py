"""The schema and the grants; everything here is the owner's."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from flagctl import output
from flagctl.long_steps import upgraded
from flagctl.options import writing
from flagctl.state import State, current

if TYPE_CHECKING:
    from core.services.schema_plan import Plan

app = typer.Typer(no_args_is_help=True, help="The schema and the grants (owner's connection).")


@app.command()
def upgrade(
    plan: Annotated[
        bool,
        typer.Option("--plan", help="Show what would be done, and whom it holds up; do nothing."),
    ] = False,
) -> None:
    """Bring the schema to this release's version and renew the grants.

    \b
    flagctl db upgrade --plan
    flagctl db upgrade
    """
    here = current()
    if plan:
        _show_plan(here)
        return
    before = upgraded(here)
    if here.output != "table":
        output.emit(
            {"from": before.current, "to": before.head, "steps": before.pending}, here.output
        )
        return
    for step in before.pending:
        output.say(f"applied {step}")
    output.line(f"the schema is at {before.head}" + ("" if before.pending else " already"))


def _show_plan(here: State) -> None:
    from core.alchemy import connect
    from core.services.schema_plan import plan

    url = here.settings.require("owner_database_url")
    with connect(url, application_name="flagctl db") as connection:
        found = plan(connection, prefix=here.settings.role_prefix)
    here.show(found, lambda: output.line("\n".join(_plan_lines(found))))


def _plan_lines(plan: "Plan") -> Iterator[str]:
    yield f"from {plan.current or '(empty database)'} to {plan.head}; one transaction each:"
    for step in plan.steps:
        yield f"{step.revision} {step.title}: {len(step.statements)} statements"
        for lock in step.locks:
            size = f"about {lock.rows:,} rows, {-(-lock.bytes // 1024):,} kB"
            yield f"  {lock.table}: {lock.mode}, blocks {lock.blocks}; {size}"
        if not step.is_complete:
            yield "  and what it locks besides is known only when it runs: see -o json"


@app.command()
def status() -> None:
    """Show the schema's version and what is pending.

    \b
    flagctl db status
    """
    from core.alchemy import connect
    from core.services import schema

    here = current()
    with connect(here.settings.require("owner_database_url"), application_name="flagctl db") as c:
        found = schema.status(c)
    here.show(
        found,
        lambda: output.fields(
            [
                ("current", found.current or "(empty database)"),
                ("newest", found.head),
                ("pending", "; ".join(found.pending)),
            ]
        ),
    )


@app.command()
def check() -> None:
    """Check that the database has the schema that this release expects; exit 8 if not.

    \b
    flagctl db check
    """
    from core.alchemy import connect
    from core.errors import CheckFailedError
    from core.services import definitions, schema

    here = current()
    url = here.settings.require("owner_database_url")
    with connect(url, application_name="flagctl db") as c:
        found = schema.status(c)
        differences = schema.differences(c) if not found.pending else []
    differences += [
        f"{finding.kind}: {finding.what}; `flagctl doctor grants` says how to mend it"
        for finding in definitions.examine(url, prefix=here.settings.role_prefix)
    ]
    if here.output != "table":
        output.emit({"pending": found.pending, "differences": differences}, here.output)
    if found.pending:
        raise CheckFailedError(
            f"{len(found.pending)} migrations are pending", hint="run `flagctl db upgrade`"
        )
    if differences:
        raise CheckFailedError(
            "the database differs from what this release expects:\n  " + "\n  ".join(differences)
        )
    if here.output == "table":
        output.line(f"the schema is as expected, at {found.head}")


@app.command()
def grants(
    login: Annotated[
        str | None, typer.Option("--login", metavar="NAME", help="Put this login into a group.")
    ] = None,
    group: Annotated[
        str, typer.Option("--as", metavar="GROUP", help="owner, admin, reader or trust.")
    ] = "admin",
    database: Annotated[
        str | None, typer.Option("--database", metavar="NAME", help="Default: the address's.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Run it with the owner's address, where that may.")
    ] = False,
) -> None:
    """Print the SQL that a DBA runs once: groups, logins, and nothing for PUBLIC.

    \b
    flagctl db grants --database flagctl --login flagctl_ci --as admin | psql -d flagctl
    """
    from core.addresses import parameters
    from core.db import open_driver_connection
    from core.errors import InvalidInputError
    from core.services import grants as service

    here = current()
    if group not in tuple(service.Group):
        raise InvalidInputError(f"{group!r} is no group", hint="owner, admin, reader or trust")
    settings = here.settings
    if database is None:
        database = str(parameters(settings.require("owner_database_url")).get("dbname") or "")
    if not database:
        raise InvalidInputError("no database is named", hint="--database NAME")
    logins = {login: service.Group(group)} if login else {}
    statements = service.cluster_statements(settings.role_prefix, database, logins)
    if not apply:
        output.line(service.render(statements).rstrip())
        output.line(
            "-- Other databases of this cluster are open to these logins until you close them:\n"
            "-- REVOKE CONNECT, TEMPORARY ON DATABASE postgres, template1 FROM PUBLIC;"
        )
        return
    url = settings.require("owner_database_url")
    with open_driver_connection(url, application_name="flagctl db", autocommit=True) as connection:
        service.apply(connection, statements)
    output.line(f"granted in {database}")


@app.command("new-epoch")
@writing
def new_epoch() -> None:
    """Say that revisions mean something else from now on, as after restoring a dump.

    \b
    flagctl db new-epoch --reason "restored last night's dump"
    """
    from core.services.installation import new_epoch as raise_epoch

    here = current()
    generation, _ = here.write_as_owner(raise_epoch)
    if here.output != "table":
        output.emit({"generation": generation}, here.output)
        return
    output.line(f"epoch {generation}: readers drop every older copy within the check interval")
