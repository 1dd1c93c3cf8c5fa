"""Looks whether an installation is as it should be, and says what to do about it."""

import typer

from flagctl import output
from flagctl.state import current

app = typer.Typer(no_args_is_help=True, help="Whether an installation is as it should be.")


@app.callback()
def doctor() -> None:
    """Whether an installation is as it should be."""


@app.command()
def grants() -> None:
    """List every privilege in Postgres that is more, or less, than needed; exit 8 if there is one.

    Reads the catalogs with the owner's database address, and changes nothing.
    """
    from core.db import open_driver_connection
    from core.errors import CheckFailedError
    from core.services.privileges import examine

    here = current()
    url = here.settings.require("owner_database_url")
    with open_driver_connection(url, application_name="flagctl doctor") as connection:
        findings = examine(connection, here.settings.role_prefix)
    if here.output != "table":
        output.emit(findings, here.output)
    else:
        for finding in findings:
            output.line(f"{finding.kind}: {finding.what}\n  mend: {finding.mend}")
    if findings:
        are = "privilege is" if len(findings) == 1 else "privileges are"
        raise CheckFailedError(
            f"{len(findings)} {are} not as flagctl needs it",
            hint="a superuser, or the owner, runs what stands behind `mend`",
        )
    if here.output == "table":
        output.line("every privilege is needed, and none is missing")
