"""Child processes that do not outlive this one.

On Linux the kernel sends a child its stop signal when we die, even by kill -9. Elsewhere nothing
does; an engine that was left over is found and stopped by the next start. A child has a session of
its own, so that a terminal's Ctrl-C reaches only us, and we decide in which order they stop.
"""

import contextlib
import functools
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO

from flagctl.embedded import launch
from flagctl.embedded.unprivileged import Account
from flagctl.embedded.waiting import until

# Some Pythons need them to start; they are for our Python alone, not for the program.
_LOADER_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_ENDING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Child:
    """A process that was started by `spawn`."""

    def __init__(self, process: subprocess.Popen[bytes], stop_signal: signal.Signals) -> None:
        self._process = process
        self._stop_signal = stop_signal

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._process.poll()

    def wait(self, timeout: float) -> bool:
        """Whether it ended within `timeout` seconds."""
        return until(lambda: self.poll() is not None, timeout=timeout)

    def stop(self, timeout: float = 10.0, *, harder: Sequence[signal.Signals] = ()) -> None:
        """Send the stop signal, each harder one `timeout` seconds later, SIGKILL in the end."""
        for number in (self._stop_signal, *harder):
            if self.poll() is not None:
                return
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)  # a suspended process does not hear the first
            if self.wait(timeout):
                return
        self.kill()

    def kill(self) -> None:
        """SIGKILL to its whole process group, and wait for it."""
        if self.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()


@contextlib.contextmanager
def undisturbed() -> Iterator[None]:
    """Hold back the signals that end us. One that raised between a fork and its bookkeeping would
    leave a child that nobody stops, or a thread that nobody ends and that we wait for at exit.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING_SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def spawn(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdout: int | IO[bytes] | None,
    stderr: int | IO[bytes] | None,
    stop_signal: signal.Signals,
    account: Account | None = None,
    stdin: bytes = b"",
    umask: int = -1,
) -> Child:
    """Start a program that is sent `stop_signal` when we die.

    `cwd` is entered before root is given up for `account`, which may be unable to reach it.
    A program that cannot be executed ends with 126 or 127 and says why on `stderr`.
    """
    identity = f"{account.uid}:{account.gid}" if account else "-"
    loader = {name: os.environ[name] for name in _LOADER_VARIABLES if name in os.environ}
    unset = ",".join(loader.keys() - env.keys()) or "-"
    launcher = [str(Path(sys.executable).absolute()), "-I", "-S", launch.__file__, str(os.getpid())]
    program = shutil.which(argv[0], path=env.get("PATH")) or argv[0]
    command = [*launcher, str(int(stop_signal)), identity, unset, program, *argv[1:]]

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603 no shell
            command,
            env={**loader, **env},
            cwd=cwd,
            stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
            umask=umask,
        )

    with undisturbed():  # the starter's thread never takes them: it keeps this mask
        process = _starter(os.getpid()).submit(start).result()
    if process.stdin:
        with contextlib.suppress(BrokenPipeError), process.stdin:
            process.stdin.write(stdin)
    return Child(process, stop_signal)


def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path,
    output: int | IO[bytes],
    timeout: float,
    account: Account | None = None,
    umask: int = -1,
) -> int | None:
    """Run a program to its end and return its exit code; it is killed when it takes longer."""
    child: Child | None = None
    try:
        with undisturbed():
            child = spawn(
                argv,
                env=env,
                cwd=cwd,
                stdout=output,
                stderr=output,
                stop_signal=signal.SIGKILL,
                account=account,
                umask=umask,
            )
        child.wait(timeout)
    finally:
        if child:
            child.kill()
    return child.poll()


@functools.cache
def _starter(process_id: int) -> ThreadPoolExecutor:  # noqa: ARG001 a forked process needs its own
    """One thread starts all children: what the kernel watches is the thread that forked."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="flagctl-spawn")
