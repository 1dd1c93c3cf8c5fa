"""flagctl on a terminal of its own, where it may ask back."""

import os
import pty
import select
import tempfile
import termios
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.command_lines import Ran
from tests.support.forks import Fork


def on_a_terminal(
    *arguments: str,
    environ: Mapping[str, str],
    folder: Path,
    answers: tuple[str, ...] = (),
    echo: bool = False,
) -> Ran:
    """Run flagctl with stdin and stderr on a terminal; each answer is typed when it asks.

    What was shown there is `stderr`; the answers are in it only with `echo`, as on a real terminal,
    and unless flagctl hides them.
    """
    ours, theirs = pty.openpty()
    attributes = termios.tcgetattr(theirs)
    attributes[3] = attributes[3] | termios.ECHO if echo else attributes[3] & ~termios.ECHO
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    own = {"PATH": os.environ["PATH"], "TERM": "xterm", **environ}
    with tempfile.TemporaryDirectory() as kept:
        out = Path(kept, "out")
        process = Fork(folder, own, Path(kept, "log"), arguments, out=out, terminal=theirs)
        os.close(theirs)
        try:
            shown = _converse(ours, list(answers))
            code = process.wait(20)
        finally:
            process.kill()
            os.close(ours)
        return Ran(code, out.read_text(), shown.replace("\r\n", "\n"))


def _converse(terminal: int, answers: list[str]) -> str:
    """Read until the other side closes; a prompt is a text that ends with ": "."""
    shown = ""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        ready, _, _ = select.select([terminal], [], [], 0.2)
        if not ready:
            continue
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux: the last one has closed it
            piece = b""
        if not piece:
            return shown
        shown += piece.decode()
        if answers and shown.endswith(": "):
            os.write(terminal, f"{answers.pop(0)}\n".encode())
    raise AssertionError(f"it hangs after {shown!r}")
