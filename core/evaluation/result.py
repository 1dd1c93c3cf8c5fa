"""What an evaluation answers, and why."""

from dataclasses import dataclass
from enum import StrEnum

from core.json_text import JsonValue


class Reason(StrEnum):
    """Why a flag has its value; the words are OpenFeature's."""

    STATIC = "STATIC"  # on, and nothing depends on the caller
    DISABLED = "DISABLED"  # off
    ERROR = "ERROR"  # on, but with targeting that this release cannot read: the off variant


@dataclass(frozen=True, slots=True)
class Result:
    """The answer for one flag: `value` is the JSON value of `variant`."""

    key: str
    value: JsonValue
    variant: str
    reason: Reason
