"""Flags: the definitions. What one is in an environment is set in overrides.py."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from core import clock
from core.json_text import JsonValue, parse
from flagctl import completion, output, writes
from flagctl.flag_tables import print_flag, print_flags
from flagctl.options import FlagKey, OnlyEnv, parse_time, writing
from flagctl.state import current

if TYPE_CHECKING:
    from datetime import datetime

    from core.services.change import Change

NewKey = Annotated[str, typer.Argument(metavar="KEY", help="The flag's key.")]
ArchivedKey = Annotated[
    str,
    typer.Argument(metavar="KEY", help="The flag's key.", autocompletion=completion.archived_keys),
]
Variants = Annotated[
    list[str] | None,
    typer.Option("--variant", metavar="NAME=JSON", help="A variant and its value; repeatable."),
]
OnVariant = Annotated[
    str | None, typer.Option("--on-variant", metavar="NAME", help="Served when on.")
]
OffVariant = Annotated[
    str | None, typer.Option("--off-variant", metavar="NAME", help="Served when off.")
]


@writing
def create(
    key: NewKey,
    type_: Annotated[
        str, typer.Option("--type", help="boolean, string, integer, number or object.")
    ] = "boolean",
    variant: Variants = None,
    on_variant: OnVariant = None,
    off_variant: OffVariant = None,
    default: Annotated[
        str, typer.Option("--default", metavar="on|off", help="Where nothing overrides it.")
    ] = "off",
    description: Annotated[str, typer.Option("--description", "-d", help="What it is for.")] = "",
    owner: Annotated[str, typer.Option("--owner", help="Who answers for it.")] = "",
    tag: Annotated[list[str] | None, typer.Option("--tag", help="A tag; repeatable.")] = None,
    expires: Annotated[
        str | None,
        typer.Option("--expires", metavar="DATE", help="From then on it answers off everywhere."),
    ] = None,
    permanent: Annotated[
        bool, typer.Option("--permanent", help="It is meant to stay: excludes --expires.")
    ] = False,
    client_visible: Annotated[
        bool, typer.Option("--client-visible", help="Client keys (browsers) may see it.")
    ] = False,
) -> None:
    """Create a flag.

    \b
    flagctl create new_checkout --description "New checkout flow"
    flagctl create winter_sale --owner shop --expires 2027-02-01
    flagctl create layout --type string --variant a='"a"' --variant b='"b"' \\
        --on-variant a --off-variant b
    """
    from core.errors import InvalidInputError
    from core.services.flags import Definition, create_flag
    from core.value_types import FLAG_TYPES, parse_type

    if default not in ("on", "off"):
        raise InvalidInputError(f"the global default is on or off, not {default!r}")
    definition = Definition(
        key=key,
        type=parse_type(type_, FLAG_TYPES),
        variants=_variants(variant),
        on_variant=on_variant,
        off_variant=off_variant,
        default_enabled=default == "on",
        description=description,
        owner=owner,
        tags=tuple(tag or ()),
        expires_at=parse_time(expires, now=clock.now(), future=True) if expires else None,
        permanent=permanent,
        client_visible=client_visible,
    )
    here = current()
    _, outcome = here.write(
        lambda change: create_flag(change, definition),
    )
    document = {"flag": key, "type": definition.type}
    writes.report(here, outcome, document, f"created {key}, {default} everywhere")


def list_all(
    env: OnlyEnv = None,
    tag: Annotated[str | None, typer.Option("--tag", help="Only with this tag.")] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Only of this owner.")] = None,
    match: Annotated[
        str | None, typer.Option("--match", metavar="TEXT", help="Only keys that contain it.")
    ] = None,
    archived: Annotated[bool, typer.Option("--archived", help="Archived flags too.")] = False,
    state: Annotated[
        str | None,
        typer.Option(
            "--state",
            metavar="on|off|inherit|expired",
            help="Only on, off or inheriting, in --env or in any environment; or expired.",
            autocompletion=completion.states_listed,
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", metavar="N", min=1, help="At most so many.")
    ] = None,
    cursor: Annotated[
        str | None,
        typer.Option("--cursor", metavar="KEY", help="Those after this key: the last one shown."),
    ] = None,
) -> None:
    """List flags with their state in each environment.

    \b
    flagctl list --env prod --state on
    flagctl list --match checkout --limit 50
    """
    from core.errors import InvalidInputError
    from core.queries.flags import Filter, page_of_flags

    if state not in (None, "on", "off", "inherit", "expired"):
        raise InvalidInputError(f"{state!r} is no state", hint="on, off, inherit or expired")
    here = current()
    with here.reading() as session:
        page = page_of_flags(
            session, Filter(env, tag, owner, match, archived, state, cursor, limit)
        )
    here.show(page.flags, lambda: print_flags(page.flags))
    if page.has_more and here.output == "table":
        output.say(f"there are more: --cursor {page.flags[-1].key}")


def show(key: FlagKey) -> None:
    """Show one flag with all its environments.

    \b
    flagctl show new_checkout
    """
    from core.queries.flags import show_flag

    here = current()
    with here.reading() as session:
        flag = show_flag(session, key)
    here.show(flag, lambda: print_flag(flag))


@writing
def update(
    key: FlagKey,
    variant: Variants = None,
    remove_variant: Annotated[
        list[str] | None,
        typer.Option("--remove-variant", metavar="NAME", help="Take a variant away; repeatable."),
    ] = None,
    on_variant: OnVariant = None,
    off_variant: OffVariant = None,
    description: Annotated[
        str | None, typer.Option("--description", "-d", help="What it is for.")
    ] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Who answers for it.")] = None,
    tag: Annotated[
        list[str] | None, typer.Option("--tag", help="Replaces the tags; repeatable.")
    ] = None,
    no_tags: Annotated[bool, typer.Option("--no-tags", help="Take all tags away.")] = False,
    expires: Annotated[
        str | None,
        typer.Option(
            "--expires", metavar="DATE|never", help="From then on it answers off everywhere."
        ),
    ] = None,
    permanent: Annotated[
        bool | None, typer.Option("--permanent/--temporary", help="Whether it is meant to stay.")
    ] = None,
    client_visible: Annotated[
        bool | None,
        typer.Option("--client-visible/--server-only", help="Whether client keys may see it."),
    ] = None,
) -> None:
    """Change a flag's definition.

    \b
    flagctl update new_checkout --owner ann --tag shop
    flagctl update new_checkout --expires 90d
    """
    from core.errors import InvalidInputError
    from core.services.flags import Edit, update_flag

    edit = Edit(
        variants=_variants(variant),
        removed_variants=tuple(remove_variant or ()),
        on_variant=on_variant,
        off_variant=off_variant,
        description=description,
        owner=owner,
        tags=() if no_tags else (tuple(tag) if tag else None),
        expires_at=_expiry(expires),
        permanent=permanent,
        client_visible=client_visible,
    )
    if edit == Edit():
        raise InvalidInputError("nothing to change is named", hint="see `flagctl update --help`")
    _simple(
        key,
        "updated",
        lambda change: update_flag(change, key, edit),
    )


@writing
def archive(key: FlagKey) -> None:
    """Take a flag out of service; its history stays.

    \b
    flagctl archive new_checkout --reason "everybody has it"
    """
    from core.services.flags import archive_flag

    _simple(
        key,
        "archived",
        lambda change: archive_flag(change, key),
    )


@writing
def unarchive(key: ArchivedKey) -> None:
    """Bring an archived flag back.

    \b
    flagctl unarchive new_checkout
    """
    from core.services.flags import unarchive_flag

    _simple(
        key,
        "unarchived",
        lambda change: unarchive_flag(change, key),
    )


@writing
def delete(key: FlagKey) -> None:
    """Delete a flag and its state everywhere.

    \b
    flagctl delete new_checkout
    """
    from core.services.flags import delete_flag

    here = current()
    output.ask_to_type(key, noun="flag", needed=here.asks_back, where=here.in_context)
    _simple(
        key,
        "deleted",
        lambda change: delete_flag(change, key),
        confirmed=True,
    )


def _simple(
    key: str, done: str, apply: Callable[["Change"], None], *, confirmed: bool = False
) -> None:
    here = current()
    _, outcome = here.write(apply, confirmed=confirmed)
    message = f"{done} {key}" if outcome.changed else f"{key}: nothing to change"
    writes.report(here, outcome, {"flag": key}, message)


def _variants(texts: list[str] | None) -> dict[str, JsonValue] | None:
    from core.errors import InvalidInputError

    if not texts:
        return None
    found: dict[str, JsonValue] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise InvalidInputError(
                f"{text!r} is no variant", hint="--variant NAME=JSON, as in compact='\"compact\"'"
            )
        if name in found:
            raise InvalidInputError(f"the variant {name!r} is given twice")
        found[name] = parse(value, what=f"the variant {name!r}")
    return found


def _expiry(text: str | None) -> "datetime | Literal[False] | None":
    if text is None:
        return None
    return False if text == "never" else parse_time(text, now=clock.now(), future=True)
