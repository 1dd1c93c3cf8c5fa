"""Flags that may be cleaned up, by what is stored: no context can change what they answer.

What is constant the engine says, which compiled it.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from core import json_text
from core.evaluation.engine import Engine
from core.evaluation.result import Reason, Result
from core.evaluation.ruleset import Ruleset
from core.evaluation.timed_changes import has_expired
from core.lookups import environments, find_environment, segment_documents
from core.queries.flags import overrides_of
from core.sessions import Session

_FLAGS: Final = """
SELECT * FROM flagctl.flags
WHERE organization_id = %(organization)s AND archived_at IS NULL ORDER BY key
"""


class Why(StrEnum):
    """Why a flag may be cleaned up. Whether it is used, Postgres does not know."""

    EXPIRED = "expired"  # its time is over: it is off everywhere
    ROLLED_OUT = "rolled_out"  # on, and the same variant for everybody
    SAME = "same"  # another constant value for everybody: off, most often


@dataclass(frozen=True, slots=True)
class Candidate:
    """A flag that is not archived, with the reasons that can be seen from here. `variant` is what
    everybody gets, None where that differs. `required` says whether another flag asks for it, which
    nobody counts; since `defined_at` it was neither archived nor hidden from clients."""

    key: str
    reasons: tuple[Why, ...]
    variant: str | None
    owner: str
    tags: list[str]
    permanent: bool
    client_visible: bool
    required: bool
    expires_at: datetime | None
    defined_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class Candidates:
    """`environments` are the random ids by key, of those that were looked at."""

    environments: dict[str, str]
    flags: list[Candidate]


def candidates(
    session: Session, environment_keys: Sequence[str], now: datetime, *, settled_by: datetime
) -> Candidates:
    """In these environments, or in all of the organization; four questions, and one for each that
    is named. What was changed after `settled_by` may not stay as it is. Raises NotFoundError for an
    unknown environment."""
    rows = [find_environment(session, key) for key in dict.fromkeys(environment_keys)]
    rows = rows or environments(session)
    flags = session.ask(_FLAGS, {"organization": session.organization_id})
    overrides = overrides_of(session, environments=[row.id for row in rows])
    segments = segment_documents(session)
    constants: list[dict[str, Result | None]] = []
    required: set[str] = set()
    for row in rows:
        rulesets = [_ruleset(flag, overrides[flag.id].get(row.id)) for flag in flags]
        programs = Engine(rulesets, segments, at=now).programs
        constants.append({key: program.constant for key, program in programs.items()})
        required.update(_required(rulesets))
    return Candidates(
        {row.key: row.public_id for row in rows},
        [
            _candidate(
                flag,
                [of_environment[flag.key] for of_environment in constants],
                changed_at=max(row.updated_at for row in (flag, *overrides[flag.id].values())),
                required=flag.key in required,
                now=now,
                settled_by=settled_by,
            )
            for flag in flags
        ],
    )


def _ruleset(flag: Any, override: Any | None) -> Ruleset:
    own = override.enabled if override is not None else None
    return Ruleset(
        key=flag.key,
        type=flag.type,
        variants=flag.variants,
        on_variant=flag.on_variant,
        off_variant=flag.off_variant,
        enabled=flag.default_enabled if own is None else own,
        targeting=override.targeting if override is not None else None,
        salt=flag.salt,
        client_visible=flag.client_visible,
        expires_at=flag.expires_at,
    )


def _required(rulesets: Iterable[Ruleset]) -> Iterator[str]:
    for ruleset in rulesets:
        requires = (ruleset.targeting or {}).get("requires", ())
        yield from (requirement["flag"] for requirement in requires)


def _candidate(
    flag: Any,
    constants: list[Result | None],
    *,
    changed_at: datetime,
    required: bool,
    now: datetime,
    settled_by: datetime,
) -> Candidate:
    found = [result for result in constants if result is not None and result.error is None]
    same = len(found) == len(constants) > 0 and len(set(map(_value, found))) == 1
    names = {result.variant for result in found} if same else set()
    settled = found if same and changed_at <= settled_by else []
    return Candidate(
        key=flag.key,
        reasons=tuple(_reasons(flag, settled, names, now)),
        variant=names.pop() if len(names) == 1 else None,
        owner=flag.owner,
        tags=flag.tags,
        permanent=flag.permanent,
        client_visible=flag.client_visible,
        required=required,
        expires_at=flag.expires_at,
        defined_at=flag.updated_at,
        changed_at=changed_at,
    )


def _reasons(flag: Any, same: list[Result], names: set[str], now: datetime) -> Iterator[Why]:
    """`same` are the results where all are worth the same, and have been for a while. An expired
    flag is off for everybody by that alone; one that is meant to stay may well be constant."""
    if has_expired(flag.expires_at, now):
        yield Why.EXPIRED
    elif same and not flag.permanent:
        is_on = all(result.reason is Reason.STATIC for result in same)
        yield Why.ROLLED_OUT if is_on and len(names) == 1 else Why.SAME


def _value(result: Result) -> str:
    return json_text.render(result.value)
