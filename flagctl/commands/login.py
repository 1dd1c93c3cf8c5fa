"""Logging in at a company's own issuer."""

from typing import TYPE_CHECKING, Annotated

import typer

from flagctl import output
from flagctl.state import current

if TYPE_CHECKING:
    from core.services.openid.device import Invitation


def login(
    issuer: Annotated[
        str | None,
        typer.Option("--issuer", metavar="URL", help="Where (default: FLAGCTL_LOGIN_ISSUER)."),
    ] = None,
    client_id: Annotated[
        str | None,
        typer.Option(
            "--client-id",
            metavar="ID",
            help="As which client (default: FLAGCTL_LOGIN_CLIENT_ID).",
        ),
    ] = None,
    audience: Annotated[
        str | None,
        typer.Option(
            "--audience",
            metavar="A",
            help="For whom the token has to be (default: the client id).",
        ),
    ] = None,
) -> None:
    """Log in at your company's issuer; prints a token.

    It shows an address and a code on stderr, waits until somebody has logged in there, and prints
    the token alone on stdout. Nothing is stored.

    \b
    export FLAGCTL_TOKEN=$(flagctl login)
    """
    from core.services.openid.device import Waiting, log_in
    from core.services.openid.identity import identify
    from core.services.openid.transport import Transport

    here = current()
    settings = here.settings
    where = issuer or settings.for_login("login_issuer", option="--issuer URL")
    client = client_id or settings.for_login("login_client_id", option="--client-id ID")
    if audience is None and settings.login_audience is not None:
        audience = settings.for_login("login_audience", option="--audience A")
    token = log_in(where, client, show=_invite, transport=Transport(), waiting=Waiting())
    identity = identify(token, issuer=where, audience=audience or client)
    if here.output != "table":
        output.emit(output.plain(identity) | {"token": identity.token.reveal()}, here.output)
        return
    output.say(
        f"logged in as {output.printable(identity.subject)}"
        f" until {identity.expires_at:%Y-%m-%d %H:%M:%S} UTC; the token is not shown again:"
    )
    output.line(identity.token.reveal())


def _invite(invitation: "Invitation") -> None:
    if invitation.verification_uri_complete is not None:
        output.say(f"open {invitation.verification_uri_complete}")
        output.say(f"and see that it shows the code {invitation.user_code}")
    else:
        output.say(f"open {invitation.verification_uri}")
        output.say(f"and enter the code {invitation.user_code}")
    minutes = max(1, int(invitation.expires_in // 60))
    output.say(f"waiting for that, {minutes} minutes at most…")
