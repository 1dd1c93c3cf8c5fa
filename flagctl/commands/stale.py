"""Which flags may be cleaned up, and why."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from core import clock
from flagctl import completion, output, tables
from flagctl.options import parse_duration
from flagctl.state import current
from flagctl.times import relative

if TYPE_CHECKING:
    from core.queries.stale import Candidate
    from flagctl.unused import Uses

Environments = Annotated[
    list[str] | None,
    typer.Option(
        "--env",
        "-e",
        metavar="ENV",
        help="Only in this environment; repeatable (default: in all).",
        autocompletion=completion.environments,
    ),
]


def stale(
    env: Environments = None,
    unused_for: Annotated[
        str,
        typer.Option("--unused-for", metavar="DURATION", help="How long a flag is not asked for."),
    ] = "30d",
    unchanged_for: Annotated[
        str,
        typer.Option(
            "--unchanged-for",
            metavar="DURATION",
            help="How long a flag that is the same for everybody was not changed.",
        ),
    ] = "7d",
    check: Annotated[bool, typer.Option("--check", help="Exit 8 if there is any.")] = False,
) -> None:
    """List the flags that may be cleaned up, with the reasons.

    expired: its time is over. unused: nobody asked for it by its key, nor got an answer that holds
    it. rolled_out: on, and the same variant for everybody. same: another value that is the same for
    everybody, such as off. In every environment, or in each that is named. What is --permanent is
    listed as unused only. Notes on stderr say what could not be found out.

    \b
    flagctl stale
    flagctl stale --env prod --unused-for 60d
    flagctl stale --check
    """
    from core.cache.usage import KEPT_DAYS
    from core.errors import CheckFailedError, InvalidInputError
    from core.queries.stale import candidates
    from flagctl.unused import uses

    here, now, window = current(), clock.now(), parse_duration(unused_for)
    settled_by = now - parse_duration(unchanged_for)
    if window.days >= KEPT_DAYS:
        raise InvalidInputError(f"use is on record for less than {KEPT_DAYS} days")
    with here.reading() as session:
        known = candidates(session, env or (), now, settled_by=settled_by)
    used = uses(here.settings.redis_url, known.environments, since=now - window, now=now)
    found = [document for flag in known.flags if (document := _document(flag, used))["reasons"]]
    here.show(found, lambda: _print(found))
    for note in used.notes(known.flags):
        output.say(f"note: {note}")
    if check and found:
        raise CheckFailedError(f"{len(found)} flags may be cleaned up", hint="see `flagctl stale`")


def _document(flag: "Candidate", used: "Uses") -> dict[str, Any]:
    return {
        "key": flag.key,
        "reasons": [*flag.reasons, *(["unused"] if used.is_unused(flag) else [])],
        "variant": flag.variant,
        "last_used": used.used.get(flag.key),
        "owner": flag.owner,
        "tags": flag.tags,
        "permanent": flag.permanent,
        "expires_at": flag.expires_at,
        "changed_at": flag.changed_at,
    }


def _print(found: list[dict[str, Any]]) -> None:
    tables.draw(
        found,
        [
            ("flag", lambda flag: flag["key"]),
            ("reasons", lambda flag: [reason.replace("_", " ") for reason in flag["reasons"]]),
            ("serves", lambda flag: flag["variant"]),
            ("last used", lambda flag: flag["last_used"]),
            ("changed", lambda flag: relative(flag["changed_at"])),
            ("owner", lambda flag: flag["owner"]),
        ],
        empty="no flag may be cleaned up",
    )
