"""flagctl on a terminal of its own, where it may ask back."""

import os
import pty
import select
import subprocess
import sys
import termios
import time
from collections.abc import Mapping
from pathlib import Path

from tests.support.command_lines import Ran

# A checkout that is not the installed one is tested with PYTHONPATH.
_SAME_CODE = {"PYTHONPATH": path} if (path := os.environ.get("PYTHONPATH")) else {}


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
    process = subprocess.Popen(
        [sys.executable, "-m", "flagctl", *arguments],
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=theirs,
        env={"PATH": os.environ["PATH"], "TERM": "xterm", **_SAME_CODE, **environ},
        cwd=folder,
    )
    os.close(theirs)
    try:
        shown = _converse(ours, list(answers))
        stdout, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
        os.close(ours)
    return Ran(process.returncode, stdout.decode(), shown.replace("\r\n", "\n"))


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
