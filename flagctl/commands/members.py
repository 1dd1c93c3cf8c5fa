"""Members and their roles; and who you are."""

from typing import TYPE_CHECKING, Annotated

import typer

from flagctl import completion, output, tables, writes
from flagctl.options import writing
from flagctl.state import current
from flagctl.times import relative

if TYPE_CHECKING:
    from core.queries.members import MemberDetail

app = typer.Typer(no_args_is_help=True, help="Members and their roles.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="Who: an e-mail, or a pipeline's name.")]
AtIssuer = Annotated[
    str | None,
    typer.Option("--issuer", metavar="URL", help="Whose tokens they carry (default: flagctl's)."),
]
There = Annotated[
    str | None,
    typer.Option(
        "--env",
        "-e",
        metavar="ENV",
        help="Only there (default: everywhere).",
        autocompletion=completion.environments,
    ),
]


def whoami() -> None:
    """Show who the token says you are, and your roles.

    \b
    flagctl whoami
    """
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
    name: Name,
    role: Annotated[str, typer.Option("--role", help="viewer, editor, approver or admin.")],
    env: There = None,
    issuer: AtIssuer = None,
    subject: Annotated[
        str | None, typer.Option("--subject", metavar="SUB", help="Their `sub` at that issuer.")
    ] = None,
    claim: Annotated[
        list[str] | None,
        typer.Option(
            "--claim",
            metavar="CLAIM=VALUE",
            help="Instead of a subject: what the token must say; each of several.",
        ),
    ] = None,
    as_owner: Annotated[
        bool,
        typer.Option("--as-owner", help="With the owner's database address instead of a token."),
    ] = False,
) -> None:
    """Give a member a role, or change the one they have.

    \b
    flagctl member add ann@example.com --role editor --env dev
    flagctl member add "deploy of shop" --role editor --env prod \\
      --issuer https://token.actions.githubusercontent.com \\
      --claim repository=acme/shop --claim ref=refs/heads/main
    """
    from core.auth.actor import Role
    from core.errors import InvalidInputError
    from core.names import closest
    from core.services.identities import Identity
    from core.services.members import add_member, give_role

    if role not in tuple(Role):
        raise InvalidInputError(
            f"{role!r} is no role", hint=closest(role, Role) or f"roles are {', '.join(Role)}"
        )
    identity = None
    if issuer or subject or claim:
        identity = Identity(issuer, subject, _claims(claim) if claim else None)
    here = current()
    write, give = (here.write_as_owner, give_role) if as_owner else (here.write, add_member)
    _, outcome = write(lambda change: give(change, name, Role(role), env, identity=identity))
    document = {"email": name, "role": role, "environment": env}
    verb = "is" if outcome.changed else "was already"
    writes.report(here, outcome, document, f"{name} {verb} {role} in {env or 'every environment'}")


def _claims(given: list[str]) -> dict[str, str]:
    from core.errors import InvalidInputError

    claims: dict[str, str] = {}
    for text in given:
        claim, separator, value = text.partition("=")
        if not separator or claim in claims:
            problem = "stands twice" if separator else "has no value"
            raise InvalidInputError(f"the claim {claim!r} {problem}", hint="--claim NAME=VALUE")
        claims[claim] = value
    return claims


@app.command("list")
def list_() -> None:
    """List members and their roles.

    \b
    flagctl member list
    """
    from core.queries.members import list_members

    here = current()
    with here.reading() as session:
        members = list_members(session)
    here.show(
        members,
        lambda: tables.draw(
            members,
            [
                ("member", lambda m: m.email),
                ("role", lambda m: m.role),
                ("where", lambda m: m.environment or "every environment"),
                ("by", _recognised),
                ("since", lambda m: relative(m.created_at)),
            ],
            empty="no members",
        ),
    )


def _recognised(member: "MemberDetail") -> str:
    """What makes a token this member's; nothing for an e-mail of our own issuer."""
    if member.claims is not None:
        said = ", ".join(f"{name}={value}" for name, value in member.claims.items())
        return f"{said} at {member.issuer}"
    return "" if member.subject == member.email else f"{member.subject} at {member.issuer}"


@app.command()
@writing
def remove(name: Name, env: There = None, issuer: AtIssuer = None) -> None:
    """Take a member's role in an environment, or without --env all of them.

    \b
    flagctl member remove ann@example.com --env prod
    """
    from core.services.members import remove_member

    here = current()
    _, outcome = here.write(
        lambda change: remove_member(change, name, env, issuer=issuer),
    )
    document = {"email": name, "environment": env}
    writes.report(here, outcome, document, f"removed {name}{f' from {env}' if env else ''}")
