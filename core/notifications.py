"""What says "this environment changed": the message on Postgres's and on Redis's channel.

A message is a hint. It names an environment by its random id, and a revision; nothing else.
"""

from dataclasses import dataclass

CHANNEL = "flagctl_revisions"
MOST_DIGITS = 18  # of a revision; a longer one is nobody's, and would not fit into Postgres


@dataclass(frozen=True, slots=True)
class Notification:
    """`revision` is at least what the environment now has."""

    environment_id: str
    revision: int

    def render(self) -> str:
        return f"{self.environment_id} {self.revision}"


def parse(payload: str | bytes) -> Notification | None:
    """Read a message; None for one that this release does not understand."""
    text = payload.decode("utf-8", "replace") if isinstance(payload, bytes) else payload
    environment_id, _, revision = text.partition(" ")
    if (
        not environment_id
        or not revision.isascii()
        or not revision.isdigit()
        or len(revision) > MOST_DIGITS
    ):
        return None
    return Notification(environment_id, int(revision))
