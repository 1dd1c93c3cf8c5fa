"""Wall clocks that a test sets, for real programs: by libfaketime, which leaves monotonic ones."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HOUR = 3_600


def library() -> Path | None:
    """Debian's, which `make test-clock` installs."""
    return next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)


@dataclass(frozen=True)
class Clock:
    """The wall clock of all programs that have its environment."""

    file: Path

    def set(self, seconds: int) -> None:
        """So much ahead of the true time, or behind it."""
        following = self.file.with_suffix(".following")
        following.write_text(f"{seconds:+d}\n")
        following.chmod(0o644)
        following.replace(self.file)  # it is read with each question for the time

    def environ(self) -> dict[str, str]:
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self.file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }


@contextmanager
def clock() -> Iterator[Clock]:
    """It is right at first."""
    with tempfile.TemporaryDirectory(prefix="fc-") as folder:
        os.chmod(folder, 0o755)  # noqa: PTH101 - servers run as somebody else
        made = Clock(Path(folder) / "clock")
        made.set(0)
        yield made
