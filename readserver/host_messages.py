"""What the workers of a host tell each other at once: short texts, in a mailbox for each worker.

A mailbox is bounded by the kernel. Nobody waits for one that is full: it is marked, and its worker
finds out by itself what it may have missed.
"""

import mmap
import socket
from dataclasses import dataclass
from typing import Final

from core import notifications

_LONGEST: Final = 1_024  # bytes


@dataclass(frozen=True, slots=True)
class Changed:
    """The leader heard on a channel that an environment changed. A hint, as it came."""

    environment_id: str
    revision: int
    channel: str


@dataclass(frozen=True, slots=True)
class Filled:
    """Redis has a copy that the sender loaded: who waits for it looks now."""

    environment_id: str


@dataclass(frozen=True, slots=True)
class Holding:
    """The sender holds one environment more; all of them are on its board."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A check was answered; what, is on the board of whoever asked."""

    worker: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Somebody asks the leader for a check."""


@dataclass(frozen=True, slots=True)
class RedisSeen:
    """The leader's subscription says whether Redis is there."""

    is_up: bool


Message = Changed | Filled | Holding | Checked | Wanted | RedisSeen


def render(message: Message) -> bytes:
    match message:
        case Changed(environment_id, revision, channel):
            notification = notifications.Notification(environment_id, revision)
            return f"{channel} {notification.render()}".encode()
        case Filled(environment_id):
            return f"filled {environment_id}".encode()
        case Holding():
            return b"holding"
        case Checked(worker):
            return f"checked {worker}".encode()
        case Wanted():
            return b"wanted"
        case RedisSeen(is_up):
            return b"redis-up" if is_up else b"redis-down"


def parse(data: bytes) -> Message | None:
    word, _, rest = data.decode().partition(" ")
    match word:
        case "postgres" | "redis":
            found = notifications.parse(rest)
            return Changed(found.environment_id, found.revision, word) if found else None
        case "filled":
            return Filled(rest)
        case "holding":
            return Holding()
        case "checked":
            return Checked(int(rest))
        case "wanted":
            return Wanted()
        case "redis-up" | "redis-down":
            return RedisSeen(word == "redis-up")
    return None


class Mailboxes:
    """Made before the workers are, which share both ends of each: one that is started again finds
    its mailbox as it was."""

    def __init__(self, workers: int) -> None:
        self._pairs = [socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(workers)]
        for end in (end for pair in self._pairs for end in pair):
            end.setblocking(False)  # noqa: FBT003 - the library's name for it
        self._overflowed = mmap.mmap(-1, workers)

    def send(self, worker: int, message: bytes) -> None:
        """Never waits."""
        try:
            self._pairs[worker][1].send(message)
        except OSError:
            self._overflowed[worker] = 1

    def file(self, worker: int) -> int:
        """Readable when there is a message."""
        return self._pairs[worker][0].fileno()

    def receive(self, worker: int) -> Message | None:
        """None when there is nothing more."""
        while True:
            try:
                data = self._pairs[worker][0].recv(_LONGEST)
            except BlockingIOError:
                return None
            if (message := parse(data)) is not None:
                return message

    def has_overflowed(self, worker: int) -> bool:
        return self._overflowed[worker] == 1

    def forgive(self, worker: int) -> None:
        """Its worker finds out now, what it may have missed."""
        self._overflowed[worker] = 0

    def close(self) -> None:
        for end in (end for pair in self._pairs for end in pair):
            end.close()
