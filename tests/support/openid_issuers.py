"""A real OpenID issuer on this machine, over https, that can be made to lie."""

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from core import clock
from tests.support.certificates import certificates

DISCOVERY: Final = "/.well-known/openid-configuration"
KEYS: Final = "/keys"
DEVICE: Final = "/device"
TOKEN: Final = "/token"

Behaviour = Callable[[BaseHTTPRequestHandler], None]


def document(value: object, status: int = 200) -> Behaviour:
    """Answer with JSON."""
    return content(json.dumps(value).encode(), status)


def content(body: bytes, status: int = 200, **headers: str) -> Behaviour:
    """Answer with these bytes. The underscores of a header's name stand for dashes."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        request.wfile.write(body)

    return answer


def redirect(target: str, status: int = 302) -> Behaviour:
    """Lead somewhere else."""
    return content(b"", status, Location=target)


def raw(*pieces: bytes, for_ever: bytes = b"") -> Behaviour:
    """Write to the connection, past HTTP; then `for_ever`, until the client goes away."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        for piece in pieces:
            request.wfile.write(piece)
        while for_ever:
            request.wfile.write(for_ever)

    return answer


def drip(*pieces: bytes, piece: bytes = b" ") -> Behaviour:
    """The same, but so slowly that it takes for ever, and never so that nothing comes."""
    gone = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        for first in pieces:
            request.wfile.write(first)
        while not gone.wait(0.02):
            request.wfile.write(piece)

    return answer


@dataclass(frozen=True)
class Key:
    """A private key, and how the issuer shows its public half."""

    key_id: str
    private: rsa.RSAPrivateKey

    @property
    def modulus(self) -> int:
        return self.private.public_key().public_numbers().n

    def jwk(self, **changed: Any) -> dict[str, Any]:
        """As in a key set; `changed` fields replace its own, None takes one away."""
        shown: dict[str, Any] = jwt.algorithms.RSAAlgorithm.to_jwk(
            self.private.public_key(), as_dict=True
        )
        shown = {"kty": "RSA", "n": shown["n"], "e": shown["e"], "kid": self.key_id}
        shown |= {"use": "sig", "alg": "RS256"} | changed
        return {name: value for name, value in shown.items() if value is not None}


@cache
def rsa_key(key_id: str = "first", bits: int = 2_048, exponent: int = 65_537) -> Key:
    """The same one for the same name: making keys takes its time."""
    return Key(key_id, rsa.generate_private_key(public_exponent=exponent, key_size=bits))


def elliptic_jwk(key_id: str) -> dict[str, Any]:
    """A key that is not RSA."""
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    shown: dict[str, Any] = jwt.algorithms.ECAlgorithm.to_jwk(key, as_dict=True)
    return shown | {"kid": key_id, "use": "sig", "alg": "ES256"}


@dataclass
class OpenIdIssuer:
    """What it says can be changed at any time: `routes` before `says` and `keys`."""

    url: str
    authority: Path  # the certificate of who vouches for it
    keys: list[dict[str, Any]] = field(default_factory=lambda: [rsa_key().jwk()])
    says: dict[str, Any] = field(default_factory=dict)  # of the discovery document; None: nothing
    routes: dict[str, Behaviour] = field(default_factory=dict)
    polls: list[Behaviour] = field(default_factory=list)  # of the token endpoint, one after another
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # paths and forms

    def discovery(self) -> dict[str, Any]:
        own = {
            "issuer": self.url,
            "jwks_uri": self.url + KEYS,
            "token_endpoint": self.url + TOKEN,
            "device_authorization_endpoint": self.url + DEVICE,
        }
        return {name: value for name, value in (own | self.says).items() if value is not None}

    def device(self, **changed: Any) -> dict[str, Any]:
        """What the device endpoint answers."""
        own = {
            "device_code": "a-device-code-that-is-secret",
            "user_code": "WDJB-MJHT",
            "verification_uri": self.url + "/activate",
            "expires_in": 600,
            "interval": 1,
        }
        return {name: value for name, value in (own | changed).items() if value is not None}

    def token(
        self,
        subject: str,
        audience: str,
        *,
        key: Key | None = None,
        lifetime: timedelta = timedelta(minutes=10),
        **claims: Any,
    ) -> str:
        """An id token, signed with the first key unless `key` is another one."""
        key, now = key or rsa_key(), clock.now()
        own = {"iss": self.url, "sub": subject, "aud": audience, "iat": now, "exp": now + lifetime}
        headers = {"kid": key.key_id}
        return jwt.encode(own | claims, key.private, algorithm="RS256", headers=headers)

    def answer(self, path: str) -> Behaviour:
        if path in self.routes:
            return self.routes[path]
        match path:
            case _ if path == DISCOVERY:
                return document(self.discovery())
            case _ if path == KEYS:
                return document({"keys": self.keys})
            case _ if path == DEVICE:
                return document(self.device())
            case _ if path == TOKEN and self.polls:
                return self.polls.pop(0)
            case _:
                return document({"error": "there is no such page"}, 404)


class _Handler(BaseHTTPRequestHandler):
    issuer: ClassVar[OpenIdIssuer]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        form = dict(parse_qsl(self.rfile.read(length).decode()))
        self.issuer.asked.append((self.path, form))
        self.close_connection = True
        self.issuer.answer(self.path)(self)

    def log_message(self, *_: object) -> None:
        """Nothing: the tests ask `asked`."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that goes away, as one does that is led astray."""


@contextmanager
def openid_issuer(folder: Path) -> Iterator[OpenIdIssuer]:
    """Run one on a free port. Whoever is to trust it sets SSL_CERT_FILE to its `authority`."""
    files = certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.server)
    handler = type("Handler", (_Handler,), {})
    with _Server(("127.0.0.1", 0), handler) as server:
        # The handshake is the connection's own business, not that of the thread that accepts.
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        issuer = OpenIdIssuer(f"https://127.0.0.1:{server.server_port}", files.authority)
        handler.issuer = issuer  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield issuer
        finally:
            server.shutdown()
            thread.join()
