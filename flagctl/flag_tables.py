"""Flags as tables: `flagctl list` and `flagctl show`."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flagctl import output, tables
from flagctl.side_by_side import side_by_side
from flagctl.times import relative

if TYPE_CHECKING:
    from datetime import datetime

    from core.queries.flags import FlagDetail, FlagSummary


def print_flags(flags: "list[FlagSummary]") -> None:
    environments = list(flags[0].states) if flags else []
    columns: list[tables.Column] = [
        ("flag", lambda f: f"{f.key}{_mark(f)}"),
        ("type", lambda f: f.type),
    ]
    columns += [(name, _state_in(name)) for name in environments]
    columns += [
        ("changed", lambda f: relative(f.updated_at)),
        ("description", lambda f: f.description),
    ]
    tables.draw(flags, columns, empty="no flags; `flagctl create KEY` makes one")


def print_flag(flag: "FlagDetail") -> None:
    output.fields(
        [
            ("flag", flag.key),
            ("type", flag.type),
            ("description", flag.description),
            ("owner", flag.owner),
            ("tags", flag.tags),
            ("default", flag.default),
            ("client visible", flag.client_visible),
            ("expired" if flag.expired else "expires", _when(flag.expires_at)),
            ("permanent", flag.permanent or ""),
            ("archived", _when(flag.archived_at)),
            ("changed", _when(flag.updated_at)),
            ("version", flag.version),
        ]
    )
    output.line("")
    roles = {flag.off_variant: "when off"}
    also = f" and {roles[flag.on_variant]}" if flag.on_variant in roles else ""
    roles[flag.on_variant] = f"when on{also}"
    tables.draw(
        list(flag.variants.items()),
        [
            ("variant", lambda v: v[0]),
            ("value", lambda v: _json(v[1])),
            ("", lambda v: roles.get(v[0], "")),
        ],
        empty="",
    )
    if flag.environments:
        output.line("")
    side_by_side(
        flag.environments,
        ("environment", lambda s: s.environment),
        [
            ("state", lambda s: s.state),
            ("serves", lambda s: s.variant),
            ("rollout", lambda s: "" if s.percent == 100 else f"{s.percent:g} %"),
            ("rules", lambda s: s.rules or ""),
            ("revision", lambda s: s.revision),
            ("changed", lambda s: relative(s.updated_at)),
        ],
        empty="no environments; `flagctl env create KEY` makes one",
    )


def _mark(flag: "FlagSummary") -> str:
    if flag.archived:
        return " (archived)"
    return " (expired)" if flag.expired else ""


def _when(moment: "datetime | None") -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC, {relative(moment)}" if moment else ""


def _state_in(environment: str) -> Callable[[Any], object]:
    return lambda flag: flag.states[environment]


def _json(value: Any) -> str:
    from core.json_text import render

    return render(value)
