"""API keys of applications."""

from typing import Annotated

import typer

from core import clock
from flagctl import output, tables, writes
from flagctl.options import Env, OnlyEnv, parse_duration, parse_time, writing
from flagctl.state import current
from flagctl.times import relative

app = typer.Typer(no_args_is_help=True, help="API keys: what applications read with.")
Name = Annotated[str, typer.Argument(metavar="NAME", help="The key's name, or its id.")]


@app.command()
@writing
def create(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Who uses it: web, billing…")],
    env: Env = None,
    client: Annotated[
        bool, typer.Option("--client", help="For browsers: sees only what is client-visible.")
    ] = False,
    expires: Annotated[
        str | None, typer.Option("--expires", metavar="DATE", help="When it stops working.")
    ] = None,
) -> None:
    """Create an API key. It is shown once, alone on stdout.

    \b
    KEY=$(flagctl key create web --env prod)
    """
    from core.auth.api_keys import KeyKind
    from core.services.api_keys import create_key

    here = current()
    environment = here.environment(env)
    made, outcome = here.write(
        lambda change: create_key(
            change,
            name,
            environment,
            kind=KeyKind.CLIENT if client else KeyKind.SERVER,
            expires_at=parse_time(expires, now=clock.now(), future=True) if expires else None,
        ),
    )
    if not outcome.committed:
        document = {"id": None, "name": name, "environment": environment, "key": None}
        writes.report(here, outcome, document, "")
        return
    if here.output != "table":
        output.emit(
            {"key": made.key, **_without_key(made)} | writes.summary(here, outcome), here.output
        )
        return
    output.say(f"created the {made.kind} key {name} for {environment}; it is not shown again:")
    output.line(made.key)


@app.command("list")
def list_(
    env: OnlyEnv = None,
    all_: Annotated[bool, typer.Option("--all", help="Expired and revoked keys too.")] = False,
) -> None:
    """List API keys; never the keys themselves.

    \b
    flagctl key list --env prod
    """
    from core.queries.api_keys import list_keys

    here = current()
    with here.reading() as session:
        keys = list_keys(session, environment=env, include_dead=all_)
    here.show(
        keys,
        lambda: tables.draw(
            keys,
            [
                ("key", lambda k: k.name),
                ("id", lambda k: k.id),
                ("kind", lambda k: k.kind),
                ("environment", lambda k: k.environment),
                ("state", lambda k: k.state),
                ("expires", lambda k: relative(k.expires_at)),
                ("created", lambda k: relative(k.created_at)),
            ],
            empty="no keys; `flagctl key create NAME --env ENV` makes one",
        ),
    )


@app.command()
@writing
def rotate(
    name: Name,
    env: Env = None,
    overlap: Annotated[
        str, typer.Option("--overlap", metavar="TIME", help="How long the old key still works.")
    ] = "7d",
) -> None:
    """Replace a key by a new one; the old one works a while longer.

    \b
    flagctl key rotate web --env prod --overlap 7d
    """
    from core.services.api_keys import rotate_key

    here = current()
    environment = here.environment(env)
    duration = parse_duration(overlap)
    (made, ends), outcome = here.write(
        lambda change: rotate_key(change, name, environment, overlap=duration),
    )
    if not outcome.committed:
        document = {"id": None, "name": name, "environment": environment, "key": None}
        writes.report(here, outcome, document, "")
        return
    if here.output != "table":
        shown = {"key": made.key, **_without_key(made), "old_key_ends_at": ends}
        output.emit(shown | writes.summary(here, outcome), here.output)
        return
    output.say(
        f"the old key {made.name} of {environment} ends at {ends:%Y-%m-%d %H:%M:%S} UTC; "
        "the new one is not shown again:"
    )
    output.line(made.key)


@app.command()
@writing
def revoke(name: Name, env: Env = None) -> None:
    """Refuse a key from now on.

    \b
    flagctl key revoke web --env prod
    """
    from core.services.api_keys import revoke_key

    here = current()
    environment = here.environment(env)
    _, outcome = here.write(
        lambda change: revoke_key(change, name, environment),
    )
    document = {"name": name, "environment": environment}
    writes.report(here, outcome, document, f"revoked {name} of {environment}")


def _without_key(made: object) -> dict[str, object]:
    return {name: value for name, value in output.plain(made).items() if name != "key"}
