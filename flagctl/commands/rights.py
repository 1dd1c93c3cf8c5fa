"""Who may do what: asked before it is tried."""

from typing import Annotated

import typer

from flagctl import output, tables
from flagctl.options import Env
from flagctl.state import State, current

Words = Annotated[
    list[str], typer.Argument(metavar="ACTION", help="As a command is typed: set, config set…")
]


def can_i(action: Words, env: Env = None) -> None:
    """Say whether your token may do something; exit 8 if not.

    \b
    flagctl can-i set --env prod
    flagctl can-i config define && flagctl config define …
    """
    from core.errors import CheckFailedError
    from core.queries.rights import find_action, may_i, what_is_needed

    here = current()
    name = " ".join(action)
    wanted, environment = find_action(name), _default(here, env)
    with here.reading() as session:
        allowed, who = may_i(session, wanted, environment), session.actor.name
    needs = what_is_needed(wanted, environment)
    if here.output != "table":
        document = {"action": name, "environment": environment, "allowed": allowed}
        output.emit(document | {"needs": needs}, here.output)
    elif allowed:
        output.line("yes")
    if not allowed:
        raise CheckFailedError(f"no: {who} needs {needs}")


def who_can(action: Words, env: Env = None) -> None:
    """List the members who may do something.

    \b
    flagctl who-can set --env prod
    """
    from core.queries.rights import find_action, who_may

    here = current()
    wanted = find_action(" ".join(action))
    with here.reading() as session:
        holders = who_may(session, wanted, _default(here, env))
    here.show(
        holders,
        lambda: tables.draw(
            holders,
            [("member", lambda h: h.member), ("roles", lambda h: ", ".join(h.roles))],
            empty="nobody",
        ),
    )


def _default(here: State, given: str | None) -> str | None:
    return given or here.settings.env
