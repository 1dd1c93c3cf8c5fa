"""The audit log."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from core import clock
from flagctl import completion, output, tables
from flagctl.options import parse_time
from flagctl.state import current
from flagctl.times import relative

if TYPE_CHECKING:
    from core.audit.record import AuditRecord

app = typer.Typer(no_args_is_help=True, help="Who changed what, when and why.")
Time = str | None


@app.command("list")
def list_(
    entity_type: Annotated[
        str | None, typer.Option("--entity-type", metavar="TYPE", help="feature, config, api_key…")
    ] = None,
    entity_key: Annotated[
        str | None, typer.Option("--entity-key", metavar="KEY", help="Of this flag, config…")
    ] = None,
    env: Annotated[
        str | None,
        typer.Option(
            "--env",
            "-e",
            metavar="ENV",
            help="In this environment.",
            autocompletion=completion.environments,
        ),
    ] = None,
    actor: Annotated[
        str | None, typer.Option("--actor", metavar="WHO", help="By this person or machine.")
    ] = None,
    action: Annotated[
        str | None, typer.Option("--action", metavar="ACTION", help="create, update, revoke…")
    ] = None,
    since: Annotated[
        Time, typer.Option("--since", metavar="TIME", help="From then on: 2h, 7d, or a date.")
    ] = None,
    until: Annotated[Time, typer.Option("--until", metavar="TIME", help="Before then.")] = None,
    limit: Annotated[int, typer.Option("--limit", min=1, max=1000, help="At most so many.")] = 50,
) -> None:
    """List changes, newest first.

    \b
    flagctl audit list --env prod --since 7d
    flagctl audit list --entity-key new_checkout -o json
    """
    from core.audit.record import ENTITY_TYPES, AuditFilter
    from core.errors import InvalidInputError
    from core.names import closest
    from core.queries.audit_events import list_events

    if entity_type is not None and entity_type not in ENTITY_TYPES:
        raise InvalidInputError(
            f"{entity_type!r} is no entity type",
            hint=closest(entity_type, ENTITY_TYPES) or f"types are {', '.join(ENTITY_TYPES)}",
        )
    now = clock.now()
    wanted = AuditFilter(
        entity_type=entity_type,
        entity_key=entity_key,
        environment=env,
        actor=actor,
        action=action,
        since=parse_time(since, now=now, future=False) if since else None,
        until=parse_time(until, now=now, future=False) if until else None,
        limit=limit,
    )
    here = current()
    with here.reading() as session:
        events = list_events(session, here.settings.admin_token(), wanted)
    here.show(
        events,
        lambda: tables.draw(
            events,
            [
                ("id", lambda e: e.id),
                ("when (UTC)", lambda e: e.occurred_at),
                ("who", lambda e: e.actor_name),
                ("what", lambda e: f"{e.action} {e.entity_type} {e.entity_key}"),
                ("environment", lambda e: e.environment),
                ("change", short_change),
                ("reason", lambda e: e.reason),
            ],
            empty="no changes",
            narrow=lambda room: _print_narrowly(events, room),
        ),
    )


def _print_narrowly(events: "list[AuditRecord]", room: int) -> None:
    """A line for each, and where there is more to say, another one."""
    for event in events:
        where = f" in {event.environment}" if event.environment else ""
        what = f"{event.action} {event.entity_type} {event.entity_key}{where}"
        when = relative(event.occurred_at).rjust(len("59 min ago"))
        id_ = str(event.id).rjust(len(str(events[0].id)))
        output.line(output.printable(f"{id_}  {when}  {event.actor_name}  {what}"))
        more = " · ".join(filter(None, (short_change(event), event.reason)))
        if more:
            indent = " " * (len(id_) + 2)
            shown = tables.cut(output.printable(more), room - len(indent))
            output.line(indent + output.styled(shown, "dim"))


@app.command()
def show(event_id: Annotated[int, typer.Argument(metavar="ID", min=1)]) -> None:
    """Show one change with what was before and after.

    \b
    flagctl audit show 42
    """
    from core.queries.audit_events import show_event

    here = current()
    with here.reading() as session:
        event = show_event(session, here.settings.admin_token(), event_id)
    here.show(event, lambda: _print_event(event))


def _print_event(event: "AuditRecord") -> None:
    output.fields(
        [
            ("event", event.id),
            ("when", f"{event.occurred_at:%Y-%m-%d %H:%M:%S.%f} UTC"),
            ("who", event.actor_name),
            ("what", f"{event.action} {event.entity_type} {event.entity_key}"),
            ("environment", event.environment),
            ("reason", event.reason),
            ("revisions", ", ".join(f"{env} {n}" for env, n in event.revisions.items())),
            ("change", event.change_id),
            ("client", event.client_version),
        ]
    )
    output.line("")
    for change in output.changes(event.before, event.after):
        output.line(f"  {change}")


def short_change(event: Any) -> str:
    """The first difference, and how many more there are."""
    if event.before is None or event.after is None:
        return ""
    changes = output.changes(event.before, event.after)
    more = f" (+{len(changes) - 1})" if len(changes) > 1 else ""
    return f"{changes[0]}{more}" if changes else ""
