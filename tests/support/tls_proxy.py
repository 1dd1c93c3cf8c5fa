"""TLS in front of a Postgres that is reached over a socket: a real handshake, no second server."""

import socket
import ssl
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


@contextmanager
def tls_proxy(target: Path, certificate: Path) -> Iterator[int]:
    """A port of 127.0.0.1 that leads to the Unix socket `target`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    start(_serve, client, context, target)

        start(accept)
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)


def start(work: object, *arguments: object) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()  # type: ignore[arg-type]


def _serve(client: socket.socket, context: ssl.SSLContext, target: Path) -> None:
    with suppress(OSError), client:
        assert client.recv(len(_SSL_REQUEST), socket.MSG_WAITALL) == _SSL_REQUEST
        client.sendall(b"S")
        with (
            context.wrap_socket(client, server_side=True) as outside,
            socket.socket(socket.AF_UNIX) as inside,
        ):
            inside.connect(str(target))
            start(_pass_on, inside, outside)
            _pass_on(outside, inside)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while piece := source.recv(65_536):
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
