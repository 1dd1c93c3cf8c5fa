"""Checks the flags that a flag requires: they are there, and there is an end to asking."""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from core.errors import ConflictError, InvalidInputError, NotFoundError
from core.evaluation.limits import DEFAULT
from core.evaluation.targeting import Requirement
from core.names import closest
from core.services.change import Change

_Graph = Mapping[str, list[str]]  # flag → those that it requires
_REQUIRED_BY: Final = (
    "SELECT DISTINCT f.key, e.key AS environment, o.targeting FROM flagctl.overrides o"
    " JOIN flagctl.flags f ON f.id = o.flag_id JOIN flagctl.environments e"
    " ON e.id = o.environment_id WHERE o.organization_id = %(organization)s AND jsonb_path_exists("
    "o.targeting, '$.requires[*].flag ? (@ == $key)',"
    " jsonb_build_object('key', %(key)s::text))"
    " ORDER BY f.key, e.key"
)
_CHAIN: Final = (
    "SELECT f.key, jsonb_path_query_array(o.targeting, '$.requires[*].flag') AS requires"
    " FROM flagctl.overrides o JOIN flagctl.flags f ON f.id = o.flag_id"
    " WHERE o.environment_id = %(environment)s AND o.targeting ? 'requires'"
)
_KNOWN: Final = (
    "SELECT key, variants FROM flagctl.flags"
    " WHERE organization_id = %(organization)s AND archived_at IS NULL"
)


class _Size(NamedTuple):
    """Of a flag with all that it requires."""

    chain: int
    asked: int


def required_variants(change: Change, key: str) -> set[str]:
    """The variants of this flag that others wait for."""
    return {
        variant
        for row in _dependents(change, key)
        for requirement in row.targeting["requires"]
        if requirement["flag"] == key
        for variant in requirement["variants"]
    }


def check_not_required(change: Change, key: str) -> None:
    """Raises ConflictError that names the flags which require this one."""
    users = [f"{row.key} in {row.environment}" for row in _dependents(change, key)]
    if users:
        raise ConflictError(
            f"{key} is a prerequisite of {', '.join(users)}",
            hint=f"first `flagctl rule unrequire FLAG {key} --env ENV`",
        )


def _dependents(change: Change, key: str) -> Any:
    parameters = {"organization": change.session.organization_id, "key": key}
    return change.session.ask(_REQUIRED_BY, parameters)


def check_requirements(
    change: Change, key: str, environment: int, requires: tuple[Requirement, ...]
) -> None:
    """Raises NotFoundError and InvalidInputError."""
    rows = change.session.ask(_KNOWN, {"organization": change.session.organization_id})
    known = {row.key: row.variants for row in rows}
    for requirement in requires:
        if requirement.flag not in known:
            raise NotFoundError(
                f"there is no flag {requirement.flag!r} to require",
                hint=closest(requirement.flag, known) or "see `flagctl list`",
            )
        for variant in sorted(requirement.variants - known[requirement.flag].keys()):
            raise InvalidInputError(
                f"{requirement.flag} has no variant {variant!r}",
                hint=f"its variants are {', '.join(known[requirement.flag])}",
            )
    rows = change.session.ask(_CHAIN, {"environment": environment})
    graph = {row.key: list(row.requires) for row in rows}
    graph[key] = [requirement.flag for requirement in requires]
    check_graph(graph, key)


def check_graph(graph: _Graph, key: str) -> None:
    """For the flag that changed, and for each that requires it. Raises InvalidInputError."""
    if key in _reached(graph, key):
        raise InvalidInputError(
            f"{key} would require itself, through the flags that it requires",
            hint="prerequisites cannot form a circle",
        )
    users: dict[str, list[str]] = {}
    for flag, required in graph.items():
        for other in required:
            users.setdefault(other, []).append(flag)
    sizes: dict[str, _Size] = {}
    for flag in (key, *sorted(_reached(users, key))):
        if _measure(graph, flag, sizes, DEFAULT.prerequisites).asked > DEFAULT.asked:
            raise InvalidInputError(f"{flag} would have to ask more than {DEFAULT.asked} flags")


def _reached(graph: _Graph, key: str) -> set[str]:
    """What an arrow leads to, or several; the flag itself only if it is in a circle."""
    found: set[str] = set()
    waiting = list(graph.get(key, ()))
    while waiting:
        flag = waiting.pop()
        if flag not in found:
            found.add(flag)
            waiting.extend(graph.get(flag, ()))
    return found


def _measure(graph: _Graph, flag: str, known: dict[str, _Size], left: int) -> _Size:
    """`left` is how long a chain may still get. Raises InvalidInputError."""
    if left > 0 and flag not in known:
        inner = [_measure(graph, other, known, left - 1) for other in graph.get(flag, ())]
        longest = max((size.chain for size in inner), default=0)
        known[flag] = _Size(1 + longest, 1 + sum(size.asked for size in inner))
    if left <= 0 or known[flag].chain > left:
        raise InvalidInputError(f"a chain of more than {DEFAULT.prerequisites} prerequisites")
    return known[flag]
