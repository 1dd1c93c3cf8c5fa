"""What an evaluation answers, and why."""

from enum import StrEnum
from typing import NamedTuple

from core.json_text import JsonValue


class Reason(StrEnum):
    """Why a flag has its value; the words are OpenFeature's."""

    STATIC = "STATIC"  # on, and nothing depends on the caller
    DEFAULT = "DEFAULT"  # on, and none of its rules served
    TARGETING_MATCH = "TARGETING_MATCH"  # a rule served its variant
    SPLIT = "SPLIT"  # a bucket decided
    DISABLED = "DISABLED"  # off, expired, or a prerequisite is not met
    ERROR = "ERROR"  # `error` says what; the value is the off variant's


class ErrorCode(StrEnum):
    """OpenFeature's, of those that an evaluation can end with."""

    TARGETING_KEY_MISSING = "TARGETING_KEY_MISSING"  # a split, and nothing to spread by
    PARSE_ERROR = "PARSE_ERROR"  # stored targeting that this release cannot read


class Result(NamedTuple):
    """The answer for one flag: `value` is the JSON value of `variant`.

    Results are made when a flag is compiled, one for each way it can end, and shared by all
    evaluations. `rule` is the id of the rule that served; `prerequisite` the key of the flag that
    kept this one off; `expired` says that its time is over.
    """

    key: str
    value: JsonValue
    variant: str
    reason: Reason
    rule: str | None = None
    error: ErrorCode | None = None
    prerequisite: str | None = None
    expired: bool = False
