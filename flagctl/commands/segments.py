"""Segments: named conditions that rules share."""

from typing import Annotated

import typer

from core.errors import InvalidInputError
from flagctl import completion, output, tables, writes
from flagctl.options import writing
from flagctl.state import current
from flagctl.targeting_options import If, condition

app = typer.Typer(no_args_is_help=True, help="Segments: named conditions that rules share.")
NewKey = Annotated[str, typer.Argument(metavar="SEGMENT", help="The segment's key.")]
Key = Annotated[
    str,
    typer.Argument(
        metavar="SEGMENT", help="The segment's key.", autocompletion=completion.segments
    ),
]
Description = Annotated[str | None, typer.Option("--description", "-d", help="Whom it stands for.")]


@app.command()
@writing
def create(key: NewKey, if_: If = None, description: Description = None) -> None:
    """Create a segment.

    \b
    flagctl segment create beta --if 'email ends_with "@example.com"'
    """
    from core.services.segments import create_segment

    if if_ is None:
        raise InvalidInputError("a segment needs --if CONDITION")
    document = condition(if_)
    here = current()
    _, outcome = here.write(lambda change: create_segment(change, key, document, description or ""))
    writes.report(here, outcome, {"segment": key}, f"created {key}")


@app.command("list")
def list_() -> None:
    """List segments.

    \b
    flagctl segment list
    """
    from core.language.printer import print_condition
    from core.queries.segments import list_segments

    here = current()
    with here.reading() as session:
        segments = list_segments(session)
    here.show(
        [
            {
                "key": s.key,
                "description": s.description,
                "if": print_condition(s.condition),
                "condition": s.condition,
                "version": s.version,
                "updated_at": s.updated_at,
            }
            for s in segments
        ],
        lambda: tables.draw(
            segments,
            [
                ("segment", lambda s: s.key),
                ("if", lambda s: print_condition(s.condition)),
                ("description", lambda s: s.description),
            ],
            empty="no segments; `flagctl segment create SEGMENT --if …` makes one",
        ),
    )


@app.command()
def show(key: Key) -> None:
    """Show one segment and who uses it.

    \b
    flagctl segment show beta
    """
    from core.language.printer import print_condition
    from core.queries.segments import show_segment

    here = current()
    with here.reading() as session:
        segment = show_segment(session, key)
    here.show(
        segment,
        lambda: output.fields(
            [
                ("segment", segment.key),
                ("description", segment.description),
                ("if", print_condition(segment.condition)),
                ("used by", [str(use) for use in segment.used_by]),
                ("version", segment.version),
                ("created", segment.created_at),
                ("updated", segment.updated_at),
            ]
        ),
    )


@app.command()
@writing
def update(key: Key, if_: If = None, description: Description = None) -> None:
    """Change a segment: every environment that uses it follows.

    \b
    flagctl segment update beta --if 'plan == "beta"'
    """
    from core.services.segments import Edit, update_segment

    edit = Edit(condition(if_), description)
    if edit == Edit():
        raise InvalidInputError(
            "nothing to change is named", hint="see `flagctl segment update --help`"
        )
    here = current()
    _, outcome = here.write(lambda change: update_segment(change, key, edit))
    message = f"updated {key}" if outcome.changed else f"{key}: nothing to change"
    writes.report(here, outcome, {"segment": key}, message)


@app.command()
@writing
def delete(key: Key) -> None:
    """Delete a segment that nothing uses.

    \b
    flagctl segment delete beta --yes
    """
    from core.services.segments import delete_segment

    output.ask_to_type(key, noun="segment", needed=current().asks_back)
    here = current()
    _, outcome = here.write(lambda change: delete_segment(change, key), confirmed=True)
    writes.report(here, outcome, {"segment": key}, f"deleted {key}")
