"""The first set-up of a database."""

from typing import TYPE_CHECKING, Annotated

import typer

from flagctl import output, writes
from flagctl.long_steps import fetched, upgraded
from flagctl.options import parse_duration, writing
from flagctl.state import State, current

if TYPE_CHECKING:
    from core.services.change import Change
    from core.services.issuers import TrustedIssuer
    from core.services.key_files import KeyFile
    from core.services.tokens import IssuedToken


@writing
def init(
    admin: Annotated[
        str, typer.Option("--admin", metavar="EMAIL", help="Who becomes the first admin.")
    ],
    ttl: Annotated[
        str, typer.Option("--ttl", metavar="TIME", help="How long the first token lives.")
    ] = "8h",
    passphrase: Annotated[
        bool, typer.Option("--passphrase", help="Protect the signing key with a passphrase.")
    ] = False,
    no_signing_key: Annotated[
        bool,
        typer.Option(
            "--no-signing-key", help="Sign nothing here: the first admin has an --issuer."
        ),
    ] = False,
    issuer: Annotated[
        str | None, typer.Option("--issuer", metavar="URL", help="Your company's own issuer.")
    ] = None,
    audience: Annotated[
        str | None,
        typer.Option("--audience", metavar="A", help="For whom that issuer's tokens have to be."),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option("--subject", metavar="SUB", help="Who the first admin is to that issuer."),
    ] = None,
    max_lifetime: Annotated[
        str,
        typer.Option("--max-lifetime", metavar="TIME", help="How long that issuer's tokens live."),
    ] = "1h",
) -> None:
    """Set up an empty database: schema, signing key, first admin.

    Needs FLAGCTL_OWNER_DATABASE_URL. Prints the admin's token, once, alone on stdout.

    \b
    flagctl init --admin ann@example.com
    flagctl init --admin ann@example.com --no-signing-key \\
        --issuer https://id.example.com --audience flagctl-cli --subject 8f3c…
    """
    from core.errors import InvalidInputError
    from core.services.issuers import TrustedIssuer

    here = current()
    if not no_signing_key:
        _refuse_half(issuer, audience, subject)
        _with_key(here, admin, ttl, passphrase=passphrase)
        return
    if issuer is None or audience is None or subject is None:
        raise InvalidInputError(
            "--no-signing-key needs --issuer, --audience and --subject",
            hint="somebody has to sign the first admin's tokens",
        )
    trusted = TrustedIssuer(issuer, audience, parse_duration(max_lifetime))
    trusted.check()
    _without_key(here, admin, trusted, subject)


def _refuse_half(*given: str | None) -> None:
    from core.errors import InvalidInputError

    if any(value is not None for value in given):
        raise InvalidInputError(
            "--issuer, --audience and --subject belong to --no-signing-key",
            hint="with a signing key: first init, then `flagctl issuer add`",
        )


def _with_key(here: State, admin: str, ttl: str, *, passphrase: bool) -> None:
    lifetime = parse_duration(ttl)
    secret = here.new_passphrase(wanted=passphrase)
    upgraded(here)
    written: list[KeyFile] = []

    def apply(change: "Change") -> "IssuedToken":
        from core.services.installation import initialise
        from core.services.tokens import issue_token

        folder = here.settings.key_folder_path()
        file = initialise(change, admin, key_folder=folder, passphrase=secret)
        written.append(file)
        return issue_token(change, admin, file, lifetime=lifetime, as_owner=True)

    try:
        issued, outcome = here.write_as_owner(apply)
    except BaseException:
        # Nothing was committed: a key that nobody trusts would only block the next try.
        for file in written:
            file.path.unlink(missing_ok=True)
        raise
    if not outcome.committed:
        written[0].path.unlink()
        writes.report(here, outcome, {"email": admin, "token": None}, "")
        return
    if here.output != "table":
        document = {**output.plain(issued), "key_file": str(written[0].path)}
        output.emit(document | writes.summary(here, outcome), here.output)
        return
    output.say(f"the signing key is {written[0].path}: keep it safe")
    output.say(
        f"{admin} is admin; the token until {issued.expires_at:%Y-%m-%d %H:%M:%S} UTC, "
        "not shown again:"
    )
    output.line(issued.token)


def _without_key(here: State, admin: str, issuer: "TrustedIssuer", subject: str) -> None:
    from core.services.installation import initialise_without_key

    here.settings.require("owner_database_url")
    keys = fetched(issuer.issuer)  # before anything is set up that nobody can use
    for sentence in keys.left_out:
        output.say(f"{issuer.issuer}: {sentence}")
    upgraded(here)
    _, outcome = here.write_as_owner(
        lambda change: initialise_without_key(
            change, admin, issuer=issuer, subject=subject, keys=keys
        )
    )
    document = {"email": admin, "issuer": issuer.issuer, "subject": subject}
    message = f"{admin} is admin, as {subject} of {issuer.issuer}"
    writes.report(here, outcome, document, message)
