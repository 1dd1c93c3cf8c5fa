"""Admin tokens of flagctl's own issuer."""

from typing import TYPE_CHECKING, Annotated

import typer

from core import clock
from flagctl import output, tables, writes
from flagctl.options import parse_duration, writing
from flagctl.state import current
from flagctl.times import relative

if TYPE_CHECKING:
    from core.services.change import Change
    from core.services.tokens import IssuedToken

app = typer.Typer(no_args_is_help=True, help="Admin tokens: what the CLI and pipelines act with.")


@app.command()
@writing
def issue(
    email: Annotated[str, typer.Argument(metavar="EMAIL", help="For this member.")],
    ttl: Annotated[str, typer.Option("--ttl", metavar="TIME", help="How long it lives.")] = "8h",
    as_owner: Annotated[
        bool,
        typer.Option("--as-owner", help="With the owner's database address instead of a token."),
    ] = False,
) -> None:
    """Sign a token for a member. It is shown once, alone on stdout.

    \b
    export FLAGCTL_TOKEN=$(flagctl token issue ann@example.com --ttl 8h)
    """
    from core.services.installation import installation_id
    from core.services.tokens import issue_token

    lifetime = parse_duration(ttl)

    def apply(change: "Change") -> "IssuedToken":
        file = here.key_file(installation_id(change))
        return issue_token(change, email, file, lifetime=lifetime, as_owner=as_owner)

    here = current()
    write = here.write_as_owner if as_owner else here.write
    issued, outcome = here.with_passphrase(lambda: write(apply))
    if not outcome.committed:
        writes.report(here, outcome, {"email": email, "token": None}, "")
        return
    if here.output != "table":
        output.emit(output.plain(issued) | writes.summary(here, outcome), here.output)
        return
    output.say(
        f"a token for {email} until {issued.expires_at:%Y-%m-%d %H:%M:%S} UTC, id {issued.id}; "
        "it is not shown again:"
    )
    output.line(issued.token)


@app.command("list")
def list_() -> None:
    """List tokens, newest first; never the tokens themselves.

    \b
    flagctl token list
    """
    from core.queries.members import list_tokens

    here = current()
    with here.reading() as session:
        tokens = list_tokens(session)
    if here.output != "table":
        output.emit(tokens, here.output)
        return
    now = clock.now()

    def state(token: object) -> str:
        if getattr(token, "revoked_at") is not None:  # noqa: B009
            return "revoked"
        return "expired" if getattr(token, "expires_at") <= now else "live"  # noqa: B009

    tables.draw(
        tokens,
        [
            ("token", lambda t: t.id),
            ("member", lambda t: t.email),
            ("state", state),
            ("expires", lambda t: relative(t.expires_at)),
            ("issued", lambda t: relative(t.created_at)),
        ],
        empty="no tokens",
    )


@app.command()
@writing
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID", help="As `token list` shows it.")],
) -> None:
    """Refuse a token from now on.

    \b
    flagctl token revoke TOKEN_ID
    """
    from core.services.tokens import revoke_token

    here = current()
    _, outcome = here.write(
        lambda change: revoke_token(change, token_id),
    )
    verb = "revoked" if outcome.changed else "was revoked already:"
    writes.report(here, outcome, {"token": token_id}, f"{verb} {token_id}")
