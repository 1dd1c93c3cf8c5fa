"""What a writer's own bounds refuse, said with the setting that can move them."""

from typing import Final

from core.errors import InvalidInputError
from core.evaluation.faults import Fault

# The field of Limits → the setting that it comes from.
_SETTINGS: Final = {
    "depth": "FLAGCTL_CONDITION_DEPTH",
    "nodes": "FLAGCTL_CONDITION_PARTS",
    "values": "FLAGCTL_LIST_VALUES",
    "rules": "FLAGCTL_FLAG_RULES",
}


def refusal(what: str, fault: Fault) -> InvalidInputError:
    """The error for a document that cannot be used."""
    setting = _SETTINGS.get(fault.limit or "")
    hint = f"the setting {setting} is the bound" if setting else ""
    return InvalidInputError(f"{what} cannot be used: {fault}", hint=hint)
