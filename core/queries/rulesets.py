"""One environment as the engine takes it, for whoever holds a token: `eval` and `explain`."""

from dataclasses import dataclass
from typing import Any, Final

from core.evaluation.ruleset import Ruleset
from core.flag_versions import VERSIONED, version_of
from core.json_text import JsonValue
from core.lookups import find_environment, find_flag, segment_documents
from core.sessions import Session

_FLAGS: Final = f"""
SELECT f.key, f.variants, f.client_visible, o.targeting, {VERSIONED}
FROM flagctl.flags f
LEFT JOIN flagctl.overrides o ON o.flag_id = f.id AND o.environment_id = %(environment)s
WHERE f.organization_id = %(organization)s AND f.archived_at IS NULL
"""  # noqa: S608 - its parts are constants


@dataclass(frozen=True, slots=True)
class Rulesets:
    """A flag with those that it requires, and every segment."""

    environment: str
    revision: int
    flags: tuple[Ruleset, ...]
    segments: dict[str, JsonValue]

    @property
    def versions(self) -> dict[str, str]:
        """Of each flag, by key."""
        return {flag.key: flag.version for flag in self.flags}


def rulesets_for(session: Session, key: str, environment_key: str) -> Rulesets:
    """Raises NotFoundError for an unknown flag or environment; an archived flag is left out."""
    environment = find_environment(session, environment_key)
    find_flag(session, key)
    where = {"environment": environment.id, "organization": session.organization_id}
    rows = session.ask(_FLAGS, where)
    known = {row.key: row for row in rows}
    return Rulesets(
        environment.key,
        environment.revision,
        tuple(_ruleset(known[flag]) for flag in _reached(known, key)),
        segment_documents(session),
    )


def _reached(known: dict[str, Any], key: str) -> list[str]:
    """The flag, and every flag that decides about it."""
    reached: list[str] = []
    waiting = [key]
    while waiting:
        flag = waiting.pop()
        if flag in known and flag not in reached:
            reached.append(flag)
            targeting = known[flag].targeting or {}
            waiting += [requirement["flag"] for requirement in targeting.get("requires", ())]
    return reached


def _ruleset(row: Any) -> Ruleset:
    return Ruleset(
        key=row.key,
        type=row.type,
        variants=row.variants,
        on_variant=row.on_variant,
        off_variant=row.off_variant,
        enabled=row.default_enabled if row.own_enabled is None else row.own_enabled,
        targeting=row.targeting,
        salt=row.salt,
        client_visible=row.client_visible,
        expires_at=row.expires_at,
        version=version_of(row),
    )
