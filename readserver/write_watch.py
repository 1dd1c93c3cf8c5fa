"""Ends connections whose peer does not read: what is written to them would be kept for ever."""

import asyncio
from typing import Final

LEAST_READ: Final = 65_536  # bytes a period; a peer that reads this much gets the next period


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
