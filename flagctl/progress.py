"""How far long work has come: a bar on a terminal, drawn once it has taken a moment.

Without a terminal on stderr there is nothing, and what is quick never flickers.
"""

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress

MOMENT_SECONDS = 0.5
_PAUSE_SECONDS = 0.05  # telling it of each item would take longer than many an item

T = TypeVar("T")


class Bar:
    """What is known of the work. `total` is None while nobody knows how much it is."""

    def __init__(self, what: str, total: int | None) -> None:
        self._what, self._done, self._total = what, 0, total
        self._drawn: Progress | None = None
        self._has_ended = False
        self._lock = threading.Lock()

    def at(self, done: int, *, what: str | None = None, total: int | None = None) -> None:
        """So many are done; what is next, and how many there are, if that is new."""
        with self._lock:
            self._done = done
            self._what = what or self._what
            self._total = total or self._total
            if self._drawn is not None:
                self._drawn.update(
                    self._drawn.task_ids[0],
                    description=self._what,
                    completed=done,
                    total=self._total,
                )

    def draw(self) -> None:
        """From now on it is seen, unless the work has ended meanwhile."""
        from rich.console import Console  # deferred: what is quick needs none of it
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

        with self._lock:
            if self._has_ended or self._drawn is not None:
                return
            self._drawn = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                console=Console(file=sys.stderr),
                transient=True,
                redirect_stdout=False,  # data goes where it is sent
            )
            self._drawn.add_task(self._what, total=self._total, completed=self._done)
            self._drawn.start()

    def end(self) -> None:
        """Nothing of it stays."""
        with self._lock:
            self._has_ended = True
            if self._drawn is not None:
                self._drawn.stop()


@contextmanager
def bar(what: str, *, total: int | None = None) -> Iterator[Bar]:
    """For work that says itself how far it is, with `at`. Whatever it prints comes afterwards."""
    made = Bar(what, total)
    if not sys.stderr.isatty():
        yield made
        return
    timer = threading.Timer(MOMENT_SECONDS, made.draw)
    timer.daemon = True
    timer.start()
    try:
        yield made
    finally:
        timer.cancel()
        made.end()


def over(items: Iterable[T], what: str, *, total: int | None = None) -> Iterator[T]:
    """The items, while a bar counts those that are done."""
    told = 0.0
    with bar(what, total=total) as shown:
        for done, item in enumerate(items):
            if (now := time.monotonic()) - told > _PAUSE_SECONDS:
                shown.at(done)
                told = now
            yield item
