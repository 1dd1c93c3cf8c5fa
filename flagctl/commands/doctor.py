"""Looks whether an installation is as it should be, and says what to do about it."""

import typer

from flagctl import output, progress
from flagctl.state import State, current

app = typer.Typer()


@app.callback(invoke_without_command=True)
def doctor(ctx: typer.Context) -> None:
    """Check an installation, and say what to do about it; exit 8 if something is wrong.

    Looks at the settings, at each address of Postgres that is set, at clock, schema, roles and
    logs, at Redis and the copies in it. What is not set is skipped. Changes nothing.

    \b
    flagctl doctor
    flagctl doctor -o json --context prod
    """
    if ctx.invoked_subcommand is None:
        _examine(current())


def _examine(here: State) -> None:
    from core.errors import CheckFailedError
    from flagctl.doctor.examination import examine

    checks = list(progress.over(examine(here.given.get("context")), "looking"))
    as_document = here.output_anyway
    if as_document != "table":
        output.emit(checks, as_document)
    else:
        for check in checks:
            todo = f"; {check.mend}" if check.mend else ""
            output.line(output.printable(f"{check.verdict:<9}{check.check}: {check.what}{todo}"))
    if wrong := sum(check.verdict == "wrong" for check in checks):
        are = "1 check says" if wrong == 1 else f"{wrong} checks say"
        raise CheckFailedError(f"{are} no", hint="what to do stands behind each")


@app.command()
def grants() -> None:
    """List every privilege in Postgres that is more, or less, than needed; exit 8 if there is one.

    Policies, functions and triggers count, too. Works with the owner's database address, and
    changes nothing: what functions should be is found in a transaction that is taken back.

    \b
    flagctl doctor grants
    """
    from core.db import open_driver_connection
    from core.errors import CheckFailedError, UnavailableError
    from core.services import definitions
    from core.services.privileges import examine

    here = current()
    url = here.settings.require("owner_database_url")
    with open_driver_connection(url, application_name="flagctl doctor") as connection:
        findings = examine(connection, here.settings.role_prefix)
    try:
        findings += definitions.examine(url, prefix=here.settings.role_prefix)
    except UnavailableError:
        if not findings:  # which may be the reason
            raise
    if here.output != "table":
        output.emit(findings, here.output)
    else:
        for finding in findings:
            mend, *rest = finding.mend.splitlines()
            whole = " … (the whole of it with -o json)" if rest else ""
            output.line(f"{finding.kind}: {finding.what}\n  mend: {mend}{whole}")
    if findings:
        are = "privilege is" if len(findings) == 1 else "privileges are"
        raise CheckFailedError(
            f"{len(findings)} {are} not as flagctl needs it",
            hint="a superuser, or the owner, runs what stands behind `mend`",
        )
    if here.output == "table":
        output.line("every privilege is needed, and none is missing")
