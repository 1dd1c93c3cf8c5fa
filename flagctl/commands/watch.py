"""Changes as they come."""

import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from flagctl import completion, output
from flagctl.commands.audit import short_change
from flagctl.state import State, current

if TYPE_CHECKING:
    from core.audit.record import AuditRecord
    from core.queries.following import Follower

_TRY_AGAIN_SECONDS: Final = 1.0


def watch(
    env: Annotated[
        str | None,
        typer.Option(
            "--env",
            "-e",
            metavar="ENV",
            help="What changes what this environment serves, or belongs to it.",
            autocompletion=completion.environments,
        ),
    ] = None,
) -> None:
    """Follow changes as they come, until Ctrl-C.

    With -o json each is one line. Without --env it follows all that you may see.

    \b
    flagctl watch --env prod
    flagctl watch -o json
    """
    from core.queries.environments import show_environment
    from core.queries.following import Follower

    here = current()
    if env is not None:
        with here.reading() as session:
            show_environment(session, env)
    url = here.settings.require("database_url")
    has_direct = here.settings.listen_database_url is not None
    listen_url = here.settings.require("listen_database_url") if has_direct else url
    follower = Follower(
        url, listen_url, here.settings.admin_token(), organization=here.organization
    )
    try:
        _follow(here, follower, env)
    except KeyboardInterrupt:
        return  # the usual end


def _follow(here: State, follower: "Follower", env: str | None) -> None:
    """For ever; a lost Postgres is waited for, and nothing is missed."""
    from core.errors import UnavailableError

    is_silent = True
    while True:
        try:
            for events in follower.rounds():
                if is_silent:
                    output.say(f"following {env or 'all environments'}; Ctrl-C ends it")
                    is_silent = False
                for event in events:
                    if env is None or env == event.environment or env in event.revisions:
                        _show(here, event)
        except UnavailableError as error:
            if not follower.has_begun:
                raise
            if not is_silent:
                output.warn(f"{error.message}; trying again")
            is_silent = True
            time.sleep(_TRY_AGAIN_SECONDS)


def _show(here: State, event: "AuditRecord") -> None:
    if here.output != "table":
        output.record(event, here.output)
        return
    revisions = ", ".join(f"{env} {number}" for env, number in event.revisions.items())
    where = f" in {event.environment}" if event.environment else ""
    parts = (
        f"{event.occurred_at:%H:%M:%S}",
        event.actor_name,
        f"{event.action} {event.entity_type} {event.entity_key}{where}",
        short_change(event),
        f"→ {revisions}" if revisions else "",
        f"({event.reason})" if event.reason else "",
    )
    output.line(output.printable("   ".join(part for part in parts if part)))
