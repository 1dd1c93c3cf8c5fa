"""The first set-up of a database."""

from typing import TYPE_CHECKING, Annotated

import typer

from flagctl import output, writes
from flagctl.options import parse_duration, writing
from flagctl.state import current

if TYPE_CHECKING:
    from core.services.change import Change
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
) -> None:
    """Set up an empty database: schema, signing key, first admin.

    Needs FLAGCTL_OWNER_DATABASE_URL. Prints the admin's token, once, alone on stdout.
    """
    from core.services.schema import upgrade

    here = current()
    lifetime = parse_duration(ttl)
    upgrade(here.settings.require("owner_database_url"), prefix=here.settings.role_prefix)
    written: list[KeyFile] = []

    def apply(change: "Change") -> "IssuedToken":
        from core.services.installation import initialise
        from core.services.tokens import issue_token

        file = initialise(change, admin, key_folder=here.settings.key_folder_path())
        written.append(file)
        return issue_token(change, admin, file, lifetime=lifetime, as_owner=True)

    try:
        issued, outcome = here.write_as_owner(apply)
    except BaseException:
        # Nothing was committed: a key that nobody trusts would only block the next try.
        for file in written:
            file.path.unlink(missing_ok=True)
        raise
    if here.output != "table":
        document = {**output.plain(issued), "key_file": str(written[0].path)}
        output.emit(document | writes.summary(outcome), here.output)
        return
    output.say(f"the signing key is {written[0].path}: keep it safe")
    output.say(
        f"{admin} is admin; the token until {issued.expires_at:%Y-%m-%d %H:%M:%S} UTC, "
        "not shown again:"
    )
    output.line(issued.token)
