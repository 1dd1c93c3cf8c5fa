"""Who uses a segment: rules, and other segments."""

from dataclasses import dataclass
from typing import Final

from core.sessions import Session

# The segments that lead to this one, and each rule that names one of them.
_USES: Final = (
    "WITH RECURSIVE used (key, via) AS ("
    " SELECT %(key)s::text, CAST(NULL AS text)"
    " UNION SELECT s.key, s.key FROM flagctl.segments s JOIN used u ON jsonb_path_exists("
    "s.condition, '$.**.segment ? (@ == $key)', jsonb_build_object('key', u.key))"
    " WHERE s.organization_id = %(organization)s)"
    " SELECT NULL AS environment, NULL AS flag, u.via AS segment FROM used u"
    " WHERE u.via IS NOT NULL"
    " UNION SELECT e.key, f.key, u.via FROM flagctl.overrides o JOIN used u ON jsonb_path_exists("
    "o.targeting, '$.rules[*].when.**.segment ? (@ == $key)', jsonb_build_object('key', u.key))"
    " JOIN flagctl.flags f ON f.id = o.flag_id JOIN flagctl.environments e"
    " ON e.id = o.environment_id WHERE o.organization_id = %(organization)s"
    " ORDER BY environment NULLS FIRST, flag, segment"
)


@dataclass(frozen=True, slots=True)
class Use:
    """A flag's rules in one environment, through `segment` where not directly; without a flag, that
    segment itself."""

    environment: str | None
    flag: str | None
    segment: str | None

    def __str__(self) -> str:
        if self.flag is None:
            return f"the segment {self.segment}"
        return f"{self.flag} in {self.environment}"


def uses_of(session: Session, key: str) -> list[Use]:
    """Also of a segment that does not exist."""
    parameters = {"key": key, "organization": session.organization_id}
    return [Use(row.environment, row.flag, row.segment) for row in session.ask(_USES, parameters)]
