"""The evaluation context out of a request's body."""

from dataclasses import dataclass
from typing import Any

from core.evaluation.context_json import ContextError, UnreadableError, check, read


@dataclass(frozen=True, slots=True)
class Bounds:
    """How large a context may be: `size` is the whole body's, in bytes."""

    depth: int = 32
    size: int = 1_048_576


def parse(body: bytes, deepest: int) -> dict[str, Any]:
    """The context of `{"context": {…}}`; `{}` has an empty one. Raises UnreadableError and
    ContextError."""
    document = read(body, "the body")
    if not isinstance(document, dict):
        raise UnreadableError("the body is no JSON object")
    context = document.get("context", {})
    if not isinstance(context, dict):
        raise ContextError("context is no object")
    check(context, "context", deepest)
    return context
