"""Starts everything, waits, and stops everything, in the foreground."""

import contextlib
import http.client
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType

from core.cache import acl
from core.errors import ConflictError, UnavailableError
from flagctl import output
from flagctl.dev import installation
from flagctl.dev.environment import of_reader
from flagctl.dev.folder import Folder, open_folder
from flagctl.dev.installation import Addresses
from flagctl.embedded.postgres import EmbeddedPostgres
from flagctl.embedded.processes import Child, spawn, undisturbed
from flagctl.embedded.valkey import EmbeddedValkey
from flagctl.embedded.waiting import until

_READY_SECONDS = 30.0
_RENEW_SECONDS = 12 * 3600.0
_WATCH_SECONDS = 0.2


def run(directory: Path, host: str, port: int) -> None:
    """Until Ctrl-C. Raises what made it impossible; stops whatever it started."""
    of_reader(os.environ, {})
    _require_free(host, port)
    folder = open_folder(directory)
    with ExitStack() as started, _ends_on_signals():
        output.say("starting Postgres and Valkey…")
        passwords = folder.passwords()
        postgres = started.enter_context(
            EmbeddedPostgres(folder.postgres, password=passwords.superuser)
        )
        valkey = started.enter_context(EmbeddedValkey(folder.valkey, password=passwords.redis))
        output.say("preparing the database…")
        addresses = installation.provision(postgres, passwords)

        def start_server() -> Child:
            with undisturbed():
                server = _start_server(folder, addresses, valkey.url(acl.READER), host, port)
                started.callback(server.stop)
            return server

        # From the second start on it finds a schema, and starts while we renew the token.
        early = start_server() if folder.config.exists() else None
        key = _write_settings(folder, addresses, valkey.url(acl.WRITER))
        server = early or start_server()
        base = f"http://{host}:{port}"
        _wait_until_ready(server, host, port)
        _greet(base, key)
        output.line(f"ready {base}")
        sys.stdout.flush()
        _watch(server, folder, addresses, valkey.url(acl.WRITER))
    output.say("stopped; the data stays in .flagctl/")


def _write_settings(folder: Folder, addresses: Addresses, redis_url: str) -> str:
    """Set the installation up and write config.toml. Returns the demo API key."""
    token, key = installation.set_up(addresses, folder)
    key = key or _known_key(folder) or installation.replace_key(addresses, token)
    _write_config(folder, addresses, redis_url, token.token, key)
    return key


def _write_config(
    folder: Folder, addresses: Addresses, redis_url: str, token: str, key: str
) -> None:
    folder.write_config(
        {
            "database_url": addresses.admin.reveal(),
            "owner_database_url": addresses.owner.reveal(),
            "reader_database_url": addresses.reader.reveal(),
            "redis_url": redis_url,
            "token": token,
            "api_key": key,
            "key_folder": folder.keys.name,
        }
    )


def _known_key(folder: Folder) -> str | None:
    import tomllib

    try:
        key = tomllib.loads(folder.config.read_text(encoding="utf-8")).get("api_key")
    except (OSError, ValueError):
        return None
    return key if isinstance(key, str) else None


def _start_server(
    folder: Folder, addresses: Addresses, redis_url: str, host: str, port: int
) -> Child:
    address = f"{host}:{port}"
    own = {
        "FLAGCTL_READER_DATABASE_URL": addresses.reader.reveal(),
        "FLAGCTL_LISTEN_DATABASE_URL": addresses.reader.reveal(),
        "FLAGCTL_REDIS_URL": redis_url,
        "FLAGCTL_LISTEN": address,
        "FLAGCTL_ADMIN_LISTEN": address,
    }
    log = os.open(
        folder.path / "readserver.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600
    )
    try:
        return spawn(
            [sys.executable, "-m", "readserver"],
            env=of_reader(os.environ, own),
            cwd=folder.path.parent,
            stdout=log,
            stderr=log,
            stop_signal=signal.SIGTERM,
        )
    finally:
        os.close(log)


def _wait_until_ready(server: Child, host: str, port: int) -> None:
    def answers() -> bool:
        connection = http.client.HTTPConnection(host, port, timeout=1)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    until(lambda: answers() or server.poll() is not None, timeout=_READY_SECONDS)
    if server.poll() is not None or not answers():
        raise UnavailableError("the read server did not start", hint="see .flagctl/readserver.log")


def _watch(server: Child, folder: Folder, addresses: Addresses, redis_url: str) -> None:
    renewed = time.monotonic()
    while not server.wait(_WATCH_SECONDS):
        if time.monotonic() - renewed > _RENEW_SECONDS:
            token = installation.renew_token(addresses, folder).token
            key = _known_key(folder) or ""
            _write_config(folder, addresses, redis_url, token, key)
            renewed = time.monotonic()
    raise UnavailableError("the read server ended", hint="see .flagctl/readserver.log")


def _greet(base: str, key: str) -> None:
    activate = Path(sys.prefix) / "bin" / "activate"
    output.line(f"flagctl answers at {base}, with an embedded Postgres and Valkey.")
    output.line("In another terminal, in this directory:\n")
    if sys.prefix != sys.base_prefix:
        with contextlib.suppress(ValueError):
            activate = activate.relative_to(Path.cwd())
        output.line(f"    . {activate}")
    output.line(f"    export KEY={key}")
    output.line("    flagctl set dark_mode --env prod")
    output.line(f'    curl -H "Authorization: $KEY" {base}/v1/flags')
    output.line("    flagctl audit list\n")
    output.line("Ctrl-C stops everything; the data stays in .flagctl/.")


def _require_free(host: str, port: int) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConflictError(
                f"{host}:{port} cannot be used: {error.strerror}",
                hint="another port: `make run PORT=8001`, or `flagctl dev --port 8001`",
            ) from None


@contextmanager
def _ends_on_signals() -> Iterator[None]:
    """SIGINT, SIGTERM and a closed terminal end the block, without an error.

    What follows it is not disturbed: everything is stopped in order.
    """

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        for name in _SIGNALS:
            signal.signal(name, end)
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for name in _SIGNALS:
            signal.signal(name, signal.SIG_IGN)


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
