"""What is wrong with a document, and where in it."""

from typing import Any


class Fault(ValueError):  # noqa: N818 - it describes the document, not this program
    """A document that cannot be used. `path` is the place, as in `rules[0].when.all[1].value`;
    `limit` names the field of Limits that it goes beyond, if it is that."""

    def __init__(self, message: str, path: str = "", *, limit: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.path = path
        self.limit = limit

    def under(self, part: str) -> "Fault":
        """The same, seen from one level further up."""
        joint = "." if self.path and not self.path.startswith("[") else ""
        return Fault(self.message, f"{part}{joint}{self.path}", limit=self.limit)

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message


def refuse_unknown(document: dict[Any, Any], known: frozenset[str]) -> None:
    """Raises Fault for the first field, by the alphabet, that is not one of these."""
    if not document.keys() <= known:
        unknown = min(map(str, document.keys() - known))
        raise Fault(f"unknown; known are {', '.join(sorted(known))}", unknown)
