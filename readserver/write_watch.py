"""Ends connections whose peer does not read: what is written to them would be kept for ever."""

import asyncio
import socket
from typing import Final

LEAST_READ: Final = 65_536  # bytes a period; a peer that reads this much gets the next period
_LITTLE: Final = 4_096  # bytes
# Linux alone: how long what was sent may be left unacknowledged.
_TCP_USER_TIMEOUT: Final[int | None] = getattr(socket, "TCP_USER_TIMEOUT", None)


def keep_little(transport: asyncio.Transport, seconds: float) -> None:
    """For an answer without an end, in small pieces: who does not read it is seen soon, and not
    after a megabyte that the kernel keeps for him."""
    transport.set_write_buffer_limits(high=_LITTLE)
    connection = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _LITTLE)
    if _TCP_USER_TIMEOUT is not None:
        connection.setsockopt(socket.IPPROTO_TCP, _TCP_USER_TIMEOUT, int(seconds * 1_000))


class WriteWatch:
    """Looks once a period while anything waits to be written. Closing is not enough: a transport
    that is closed waits for its peer to read what is left."""

    def __init__(self, transport: asyncio.Transport, seconds: float) -> None:
        self._transport = transport
        self._seconds = seconds
        self._timer: asyncio.TimerHandle | None = None
        self._left = 0

    def start(self) -> None:
        if self._timer is None and (left := self._transport.get_write_buffer_size()):
            self._left = left
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._seconds, self._look)

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        self._timer = None
        if self._transport.get_write_buffer_size() > self._left - LEAST_READ:
            self._transport.abort()
        else:
            self.start()
