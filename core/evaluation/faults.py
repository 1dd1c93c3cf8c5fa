"""What is wrong with a document, and where in it."""


class Fault(ValueError):  # noqa: N818 - it describes the document, not this program
    """A document that cannot be used. `path` is the place, as in `rules[0].when.all[1].value`."""

    def __init__(self, message: str, path: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.path = path

    def under(self, part: str) -> "Fault":
        """The same, seen from one level further up."""
        joint = "." if self.path and not self.path.startswith("[") else ""
        return Fault(self.message, f"{part}{joint}{self.path}")

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message
