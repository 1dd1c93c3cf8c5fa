"""How often flags are asked for, by what the read servers count in Redis."""

from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from core import clock
from flagctl import completion, output, tables
from flagctl.options import Env, parse_time
from flagctl.state import current

if TYPE_CHECKING:
    from core.cache.usage import Usage

Key = Annotated[
    str | None,
    typer.Argument(metavar="KEY", help="The flag's key.", autocompletion=completion.flag_keys),
]


def usage(
    key: Key = None,
    env: Env = None,
    since: Annotated[
        str,
        typer.Option("--since", metavar="7d|DATE", help="From this day on, by UTC; at most 90d."),
    ] = "30d",
) -> None:
    """Show how often flags are asked for by key, those asked for most first.

    An answer that holds all flags says nothing about one of them: those are counted beside, by the
    kind of key. Read servers count, and tell Redis every ten seconds. Who writes there can make
    numbers up.

    \b
    flagctl usage --env prod
    flagctl usage new_checkout --env prod --since 7d
    """
    from core.cache.usage import KEPT_DAYS, read
    from core.errors import InvalidInputError
    from core.queries.usage import counted
    from flagctl.asking_redis import ask

    here, now = current(), clock.now()
    begin = parse_time(since, now=now, future=False)
    first = max(begin.date(), now.date() - timedelta(days=KEPT_DAYS))
    if begin > now:
        raise InvalidInputError(f"--since {since} is in the future")
    address = here.settings.require("redis_url")
    with here.reading() as session:
        asked = counted(session, here.environment(env), key)
    found = ask(address, lambda client: read(client, asked.environment_id, since=first, now=now))
    document = {
        "environment": asked.environment,
        "since": first,
        "counted_since": found.counted_since,
        "bulk_answers": {
            "server": sum(day.server for day in found.days),
            "client": sum(day.client for day in found.days),
        },
    }
    if key is None:
        flags = [_flag(found, name) for name in asked.flags]
        flags.sort(key=lambda flag: (-flag["evaluations"], flag["key"]))
        here.show(document | {"flags": flags}, lambda: _print(document, flags))
    else:
        one = _flag(found, key, asked.flags[key])
        one["days"] = [
            {"day": day.day, "evaluations": sum(numbers.values()), "variants": numbers}
            for day in reversed(found.days)
            if (numbers := dict(day.flags.get(key, {})))
        ]
        here.show(document | one, lambda: _print_one(document | one))


def _flag(found: "Usage", key: str, variants: list[str] | None = None) -> dict[str, Any]:
    """`variants`: those that are there, also when nobody got them."""
    numbers = Counter(dict.fromkeys(variants or (), 0))
    last_used = None
    for day in found.days:
        if of_day := day.flags.get(key):
            numbers.update(of_day)
            last_used = day.day
    return {
        "key": key,
        "evaluations": sum(numbers.values()),
        "last_used": last_used,
        "variants": dict(numbers.most_common()),
    }


def _print(document: dict[str, Any], flags: list[dict[str, Any]]) -> None:
    _print_head(document, [])
    tables.draw(
        flags,
        [
            ("flag", lambda flag: flag["key"]),
            ("evaluations", lambda flag: str(flag["evaluations"])),
            ("last used", lambda flag: flag["last_used"]),
            ("variants", _shares),
        ],
        empty="no flags; `flagctl create KEY` makes one",
    )


def _print_one(document: dict[str, Any]) -> None:
    _print_head(
        document,
        [
            ("flag", document["key"]),
            ("evaluations", str(document["evaluations"])),
            ("last used", document["last_used"]),
            ("variants", _shares(document)),
        ],
    )
    variants = list(document["variants"])
    columns: list[tables.Column] = [
        ("day", lambda day: day["day"]),
        ("evaluations", lambda day: str(day["evaluations"])),
    ]
    tables.draw(
        document["days"],
        [*columns, *((name, _number_of(name)) for name in variants)],
        empty="not asked for by its key in this time",
    )


def _print_head(document: dict[str, Any], more: list[tuple[str, object]]) -> None:
    bulk, began = document["bulk_answers"], document["counted_since"]
    output.fields(
        [
            ("environment", document["environment"]),
            ("from", document["since"]),
            ("counted since", f"{began:%Y-%m-%d %H:%M} UTC" if began else "nothing is counted yet"),
            ("with all flags", f"{bulk['server']} to server keys, {bulk['client']} to client keys"),
            *more,
        ]
    )
    output.line("")


def _shares(flag: dict[str, Any]) -> str:
    total = flag["evaluations"]
    return ", ".join(f"{name} {100 * n / total:.1f} %" for name, n in flag["variants"].items() if n)


def _number_of(variant: str) -> Any:
    return lambda day: str(day["variants"].get(variant, 0))
