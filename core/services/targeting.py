"""Checks what somebody writes with the code that will evaluate it."""

from collections.abc import Mapping
from typing import Any, Protocol

from sqlalchemy import select, text

from core.errors import ConflictError, InvalidInputError, NotFoundError
from core.evaluation.conditions import Scope, compile_condition, named_segments
from core.evaluation.engine import compile_segments
from core.evaluation.faults import Fault
from core.evaluation.limits import DEFAULT
from core.evaluation.targeting import Requirement, Subject, compile_targeting
from core.json_text import JsonValue
from core.lookups import segment_documents
from core.models import Environment, Flag, Override
from core.names import closest
from core.services.change import Change
from core.sessions import Session

_LARGEST = 1_000_000  # characters of one document, as JSON; Postgres holds it too
_REQUIRED_BY = text(
    "SELECT DISTINCT f.key, e.key AS environment, o.targeting FROM flagctl.overrides o"
    " JOIN flagctl.flags f ON f.id = o.flag_id JOIN flagctl.environments e"
    " ON e.id = o.environment_id WHERE o.organization_id = :organization AND jsonb_path_exists("
    "o.targeting, '$.requires[*].flag ? (@ == $key)',"
    " jsonb_build_object('key', CAST(:key AS text)))"
    " ORDER BY f.key, e.key"
)
_CHAIN = text(
    "SELECT f.key, jsonb_path_query_array(o.targeting, '$.requires[*].flag') AS requires"
    " FROM flagctl.overrides o JOIN flagctl.flags f ON f.id = o.flag_id"
    " WHERE o.environment_id = :environment AND o.targeting ? 'requires'"
)


class _Flag(Protocol):
    """The columns that targeting is checked against."""

    @property
    def key(self) -> str: ...
    @property
    def variants(self) -> dict[str, Any]: ...
    @property
    def on_variant(self) -> str: ...
    @property
    def salt(self) -> str: ...


class _Environment(Protocol):
    @property
    def id(self) -> int: ...


def check_condition(session: Session, condition: JsonValue, *, own_key: str | None = None) -> None:
    """A rule's or, with `own_key`, a segment's condition, which must not lead back to itself.

    Raises InvalidInputError with the place of the fault.
    """
    documents = segment_documents(session)
    if own_key is not None:
        documents.pop(own_key, None)
    compiled = dict(compile_segments(documents))
    try:
        compile_condition(condition, Scope(compiled))
    except Fault as fault:
        for key in documents.keys() - compiled.keys() if own_key is not None else ():
            if key in named_segments(condition):
                raise InvalidInputError(
                    f"the segment {key!r} leads back to {own_key!r}", hint="a circle has no answer"
                ) from None
        raise InvalidInputError(f"the condition cannot be used: {fault}") from None


def check_targeting(
    change: Change, flag: _Flag, environment: _Environment, document: Mapping[str, Any]
) -> None:
    """Raises InvalidInputError with the place of the fault."""
    try:
        targeting = _compile(change.session, flag, document)
    except Fault as fault:
        raise InvalidInputError(f"this targeting cannot be used: {fault}") from None
    if len(str(document)) > _LARGEST:
        raise InvalidInputError(f"the rules of {flag.key} are larger than {_LARGEST} characters")
    if targeting.requires:
        _check_requirements(change, flag.key, environment.id, targeting.requires)


def _compile(session: Session, flag: _Flag, document: Mapping[str, Any]) -> Any:
    segments = {}
    if named_segments(document.get("rules")):
        segments = dict(compile_segments(segment_documents(session)))
    subject = Subject(flag.key, flag.variants, flag.on_variant, flag.salt)
    return compile_targeting(document, subject, Scope(segments))


def check_states(
    change: Change, key: str, flag_id: int, variants: dict[str, Any], on_variant: str
) -> None:
    """Whether every environment's rules go with these variants. Raises ConflictError."""
    rows = change.session.execute(
        select(Environment.key, Override.targeting, Flag.salt)
        .join_from(Override, Environment, Environment.id == Override.environment_id)
        .join(Flag, Flag.id == Override.flag_id)
        .where(Override.flag_id == flag_id)
        .order_by(Environment.id)
    ).all()
    segments = None
    for row in rows:
        if row.targeting.get("rules") and segments is None:
            segments = dict(compile_segments(segment_documents(change.session)))
        subject = Subject(key, variants, on_variant, row.salt)
        try:
            compile_targeting(row.targeting, subject, Scope(segments or {}))
        except Fault as fault:
            if fault.path == "serve.variant":
                raise ConflictError(
                    f"the variant {row.targeting['serve']['variant']!r} is served in {row.key}",
                    hint=f"first `flagctl set {key} on --env {row.key}`",
                ) from None
            raise ConflictError(
                f"{key} would not work any more in {row.key}: {fault}",
                hint=f"first change what serves it there: `flagctl show {key}`",
            ) from None
    gone = _required_variants(change, key) - variants.keys()
    if gone:
        raise ConflictError(f"other flags require {', '.join(sorted(gone))} of {key}")


def _required_variants(change: Change, key: str) -> set[str]:
    return {
        variant
        for row in _dependents(change, key)
        for requirement in row.targeting["requires"]
        if requirement["flag"] == key
        for variant in requirement["variants"]
    }


def _dependents(change: Change, key: str) -> Any:
    parameters = {"organization": change.session.organization_id, "key": key}
    return change.session.execute(_REQUIRED_BY, parameters).all()


def check_not_required(change: Change, key: str) -> None:
    """Raises ConflictError that names the flags which require this one."""
    users = [f"{row.key} in {row.environment}" for row in _dependents(change, key)]
    if users:
        raise ConflictError(
            f"{key} is a prerequisite of {', '.join(users)}",
            hint=f"first `flagctl rule unrequire FLAG {key} --env ENV`",
        )


def _check_requirements(
    change: Change, key: str, environment: int, requires: tuple[Requirement, ...]
) -> None:
    known = {
        row.key: row.variants
        for row in change.session.execute(
            select(Flag.key, Flag.variants).where(
                Flag.organization_id == change.session.organization_id,
                Flag.archived_at.is_(None),
            )
        )
    }
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
    rows = change.session.execute(_CHAIN, {"environment": environment})
    graph = {row.key: list(row.requires) for row in rows}
    graph[key] = [requirement.flag for requirement in requires]
    _check_chain(graph, key)


def _check_chain(graph: Mapping[str, list[str]], key: str) -> None:
    """Follow every chain from this flag, and those that end in it. Raises InvalidInputError."""
    level, depth = {key}, 0
    while level:
        level = {required for flag in level for required in graph.get(flag, ())}
        depth += 1
        if key in level:
            raise InvalidInputError(
                f"{key} would require itself, through the flags that it requires",
                hint="prerequisites cannot form a circle",
            )
        if depth > DEFAULT.prerequisites:
            raise InvalidInputError(f"a chain of more than {DEFAULT.prerequisites} prerequisites")
