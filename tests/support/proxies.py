"""A Unix socket before another one: it can fall silent, forget, hang up, or take its time."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

_PIECE = 65_536  # bytes


@dataclass
class Proxy:
    """`is_silent` swallows whatever comes, as a firewall that forgot a connection; `delay` is in
    seconds, for each piece in each direction.

    `watch` hears of each piece that a client sends, "before" and "after" it is passed on; its False
    hangs up."""

    listening: Path
    target: Path
    is_silent: bool = False
    delay: float = 0.0
    watch: Callable[[str], bool] = lambda _moment: True
    _remembered: int = 0  # connections of an earlier number are forgotten
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _loop: asyncio.AbstractEventLoop | None = None

    def hang_up(self) -> None:
        """Close every connection that there is."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._close_all)

    def forget(self) -> None:
        """Swallow whatever comes on the connections that there are; new ones work."""
        self._remembered += 1

    def _close_all(self) -> None:
        for writer in tuple(self._writers):
            writer.close()

    async def serve(self, started: threading.Event, stop: asyncio.Event) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_unix_server(self._accept, str(self.listening))
        self.listening.chmod(0o777)
        started.set()
        await stop.wait()
        server.close()
        self._close_all()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.CancelledError):  # the end of the loop
            there, back = await asyncio.open_unix_connection(str(self.target))
            self._writers |= {writer, back}
            number = self._remembered
            try:
                await asyncio.gather(
                    self._pass(reader, back, number, self.watch),
                    self._pass(there, writer, number, lambda _moment: True),
                )
            finally:
                self._writers -= {writer, back}
                back.close()
        writer.close()

    async def _pass(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        number: int,
        watch: Callable[[str], bool],
    ) -> None:
        with suppress(OSError, RuntimeError):
            while piece := await source.read(_PIECE):
                if self.delay:
                    await asyncio.sleep(self.delay)
                if not watch("before"):
                    break
                if not self._swallows(number):
                    sink.write(piece)
                    await sink.drain()
                if not watch("after"):
                    break
        if not self._swallows(number):
            sink.close()

    def _swallows(self, number: int) -> bool:
        return self.is_silent or number != self._remembered


@contextmanager
def before_postgres(url: str, folder: Path) -> Iterator[tuple[Proxy, str]]:
    """A proxy in an empty folder, before a Postgres that is reached by its Unix socket; and the
    address through it."""
    parameters = parse_qs(urlsplit(url).query)
    host, (port,) = parameters["host"][0], parameters.get("port", ["5432"])
    socket = f".s.PGSQL.{port}"
    with running(Proxy(folder / socket, Path(host) / socket)) as proxy:
        yield proxy, url.replace(quote(host, safe=""), quote(str(folder), safe=""))


@contextmanager
def running(proxy: Proxy) -> Iterator[Proxy]:
    """The proxy in a thread of its own."""
    started = threading.Event()
    loops: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def run() -> None:
        stop = asyncio.Event()
        loops.append((asyncio.get_running_loop(), stop))
        await proxy.serve(started, stop)

    thread = threading.Thread(target=lambda: asyncio.run(run()), daemon=True)
    thread.start()
    assert started.wait(10)
    try:
        yield proxy
    finally:
        loop, stop = loops[0]
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
