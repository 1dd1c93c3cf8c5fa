"""Asks a prepared flag for its value."""

from core.evaluation.result import Reason, Result
from core.evaluation.ruleset import Ruleset


def evaluate(flag: Ruleset) -> Result | None:
    """The flag's value without a context; None for an archived flag, which is as good as absent."""
    if flag.archived:
        return None
    if not flag.enabled:
        return _result(flag, flag.off_variant, Reason.DISABLED)
    if not flag.readable:
        return _result(flag, flag.off_variant, Reason.ERROR)
    return _result(flag, flag.serve or flag.on_variant, Reason.STATIC)


def _result(flag: Ruleset, variant: str, reason: Reason) -> Result:
    return Result(flag.key, flag.variants[variant], variant, reason)
