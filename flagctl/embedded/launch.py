"""Becomes another program: gives up root, ties its life to the parent's, then executes.

    python -I -S launch.py PARENT_PID DEATH_SIGNAL UID:GID|- UNSET,UNSET|- PROGRAM [ARGUMENT]…

A program of its own: Python code between fork and exec is not safe in a process with threads. Root
goes first, because a change of credentials clears the death signal. Nothing of flagctl is imported
here, and nothing at all after root is gone: the standard library may be out of reach then.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126  # as a shell says it
# An ignored signal stays ignored across exec: Python ignores the first two, `&` in a script others.
_RESET = (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


def main(arguments: list[str]) -> None:
    parent, death_signal, account, unset, *command = arguments
    for name in unset.split(","):
        os.environ.pop(name, None)
    for number in _RESET:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())  # a blocked signal stays blocked, too
    try:
        if account != "-":
            _become(*map(int, account.split(":")))
        if sys.platform == "linux":
            _die_with(int(parent), int(death_signal))
        os.execv(command[0], command)  # noqa: S606
    except OSError as error:
        sys.stderr.write(f"cannot run {command[0]}: {error}\n")
        sys.exit(_NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE)


def _become(uid: int, gid: int) -> None:
    os.setgroups([gid])
    os.setgid(gid)
    os.setuid(uid)


def _die_with(parent: int, death_signal: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(death_signal))
    if os.getppid() != parent:  # it died before the line above
        sys.exit(_NOT_EXECUTABLE)


if __name__ == "__main__":
    main(sys.argv[1:])
