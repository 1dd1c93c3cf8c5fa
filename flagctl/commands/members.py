"""Members and their roles; and who you are."""

from typing import Annotated

import typer

from flagctl import output, writes
from flagctl.options import writing
from flagctl.state import current

app = typer.Typer(no_args_is_help=True, help="Members and their roles.")
Email = Annotated[str, typer.Argument(metavar="EMAIL", help="Who.")]
There = Annotated[
    str | None,
    typer.Option("--env", "-e", metavar="ENV", help="Only there (default: everywhere)."),
]


def whoami() -> None:
    """Show who the token says you are, and your roles."""
    here = current()
    with here.reading() as session:
        actor, organization = session.actor, session.organization
    roles = [{"role": g.role, "environment": g.environment} for g in actor.grants]
    if here.output != "table":
        document = {"actor": actor.id, "name": actor.name, "organization": organization}
        output.emit(document | {"roles": roles}, here.output)
        return
    shown = [f"{r['role']} in {r['environment'] or 'every environment'}" for r in roles]
    output.fields(
        [("you are", actor.name), ("organization", organization), ("roles", ", ".join(shown))]
    )


@app.command()
@writing
def add(
    email: Email,
    role: Annotated[str, typer.Option("--role", help="viewer, editor, approver or admin.")],
    env: There = None,
) -> None:
    """Give a member a role, or change the one they have."""
    from core.auth.actor import Role
    from core.errors import InvalidInputError
    from core.names import closest
    from core.services.members import add_member

    if role not in tuple(Role):
        raise InvalidInputError(
            f"{role!r} is no role", hint=closest(role, Role) or f"roles are {', '.join(Role)}"
        )
    here = current()
    _, outcome = here.write(
        lambda change: add_member(change, email, Role(role), env),
    )
    document = {"email": email, "role": role, "environment": env}
    verb = "is" if outcome.changed else "was already"
    writes.report(here, outcome, document, f"{email} {verb} {role} in {env or 'every environment'}")


@app.command("list")
def list_() -> None:
    """List members and their roles."""
    from core.queries.members import list_members

    here = current()
    with here.reading() as session:
        members = list_members(session)
    here.show(
        members,
        lambda: output.table(
            members,
            [
                ("member", lambda m: m.email),
                ("role", lambda m: m.role),
                ("where", lambda m: m.environment or "every environment"),
                ("since", lambda m: m.created_at),
            ],
            empty="no members",
        ),
    )


@app.command()
@writing
def remove(email: Email, env: There = None) -> None:
    """Take a member's role in an environment, or without --env all of them."""
    from core.services.members import remove_member

    here = current()
    _, outcome = here.write(
        lambda change: remove_member(change, email, env),
    )
    document = {"email": email, "environment": env}
    writes.report(here, outcome, document, f"removed {email}{f' from {env}' if env else ''}")
