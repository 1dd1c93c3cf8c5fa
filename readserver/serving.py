"""Sockets and signals: both listeners in one process, stopped together and politely."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import uvicorn
from starlette.types import ASGIApp

from core.errors import InvalidInputError
from core.setting_values import parse_address
from core.settings import Settings
from readserver.protocol import BoundedProtocol

_GRACE_SECONDS: Final = 10
_TICK_SECONDS: Final = 1.0
# Of each listening socket the loop takes one connection, then all that were taken have their turn:
# of many that come at once, the last waits as the square of their number. So there are several.
_TAKEN_AT_ONCE: Final = 8
_KEEP_ALIVE_SECONDS: Final = 75  # longer than the idle time of common load balancers
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sockets:
    """Bound, not yet listening. `admin` is None when one port serves everything."""

    public: socket.socket
    admin: socket.socket | None

    def close(self) -> None:
        for bound in (self.public, self.admin):
            if bound is not None:
                bound.close()


def bind(settings: Settings) -> Sockets:
    """Bind the addresses of the settings; port 0 takes a free one. Raises InvalidInputError."""
    public = _bind(settings.listen, "listen")
    if settings.admin_listen == settings.listen:
        return Sockets(public, None)
    try:
        return Sockets(public, _bind(_admin_address(settings, public), "admin_listen"))
    except InvalidInputError:
        public.close()
        raise


def _admin_address(settings: Settings, public: socket.socket) -> str:
    """By default this machine only, and the port after the public one (a free one after 0)."""
    if settings.admin_listen is not None:
        return settings.admin_listen
    if parse_address(settings.listen)[1] == 0:
        return "127.0.0.1:0"
    port = public.getsockname()[1]
    if port == 65_535:
        raise InvalidInputError("there is no port after 65535", hint="set FLAGCTL_ADMIN_LISTEN")
    return f"127.0.0.1:{port + 1}"


def _bind(address: str, setting: str) -> socket.socket:
    host, port = parse_address(address)
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        bound = socket.socket(family, kind, protocol)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            bound.bind(where)
            bound.listen(1)  # fails now, rather than later, when another listens
        except OSError:
            bound.close()
            raise
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not an address of this machine"
        raise InvalidInputError(
            f"{setting}: cannot listen on {address}: {reason}",
            hint=f"stop what uses it, or set FLAGCTL_{setting.upper()}",
        ) from None
    bound.setblocking(False)  # noqa: FBT003 - the library's name for it
    return bound


def shown(bound: socket.socket) -> str:
    """HOST:PORT as it was bound."""
    host, port = bound.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Server(uvicorn.Server):
    """Leaves the signals alone, which two servers share, and sleeps while there is nothing to do:
    uvicorn's own loop looks ten times a second whether it should exit."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self._stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # makes the date of answers
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_TICK_SECONDS):
                    await self._stopping.wait()

    def stop(self) -> None:
        self.should_exit = True
        self._stopping.set()


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket, what answers there, and how it is spoken to."""

    app: ASGIApp
    bound: socket.socket
    protocol: type[BoundedProtocol]

    def sockets(self) -> list[socket.socket]:
        """The same one again and again; whoever serves closes them."""
        return [self.bound, *(self.bound.dup() for _ in range(1, _TAKEN_AT_ONCE))]


def _server(listener: Listener) -> _Server:
    return _Server(
        uvicorn.Config(
            listener.app,
            http=listener.protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            backlog=2_048,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_GRACE_SECONDS,
        )
    )


async def serve(listeners: list[Listener], *, on_stop: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; what is in flight is answered first. `on_stop` has to end what
    would be in flight for ever."""
    servers = [_server(listener) for listener in listeners]

    def stop() -> None:
        for server in servers:
            server.stop()
        on_stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    addresses = [shown(listener.bound) for listener in listeners]
    _log.info("listening", extra={"listen": addresses[0], "admin_listen": addresses[-1]})
    await asyncio.gather(
        *(
            server.serve(sockets=listener.sockets())
            for server, listener in zip(servers, listeners, strict=True)
        )
    )
    _log.info("stopped")
