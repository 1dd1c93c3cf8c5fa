"""One request to an issuer: https, verified, with an end to its time and to its size.

It connects directly. No redirect is followed and no HTTPS_PROXY is used: what an operator trusts
must not depend on where somebody leads the request. SSL_CERT_FILE names a CA of one's own.
"""

import io
import socket
import ssl
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from http.client import HTTPException, HTTPResponse, HTTPSConnection
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import SplitResult, urlencode

import core
from core import json_text
from core.errors import FlagctlError, InvalidInputError, UnavailableError
from core.services.openid.urls import check_https

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

SECONDS: Final = 10.0  # for all of it: name, connection, TLS, answer
AT_MOST: Final = 65_536  # bytes of an answer, its headers counted in
_REDIRECTS: Final = range(300, 400)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `what` and `url` say from where."""

    what: str
    url: str
    status: int
    body: bytes

    def document(self) -> dict[str, Any]:
        """The JSON object that it must be. Raises UnavailableError, InvalidInputError."""
        if self.status == 429 or self.status >= 500:
            raise UnavailableError(f"{self.what} at {self.url} answers {self.status}")
        if self.status != 200:
            raise InvalidInputError(f"{self.what} at {self.url} answers {self.status}, not 200")
        return self.json()

    def json(self) -> dict[str, Any]:
        """The JSON object in it, whatever the status."""
        try:
            value = json_text.parse(self.body, what=f"{self.what} at {self.url}")
        except InvalidInputError as error:
            raise InvalidInputError(error.message) from None  # its hints are for what people type
        if not isinstance(value, dict):
            raise InvalidInputError(f"{self.what} at {self.url} is not a JSON object")
        return cast("dict[str, Any]", value)


@dataclass(frozen=True, slots=True)
class Transport:
    """How issuers are asked. Tests take less time than people get."""

    seconds: float = SECONDS
    at_most: int = AT_MOST

    def get(self, url: str, *, what: str) -> Answer:
        """Raises UnavailableError (network, TLS, time) and InvalidInputError (size, redirect)."""
        return self._ask(url, None, what)

    def post(self, url: str, form: Mapping[str, str], *, what: str) -> Answer:
        """The same with a form."""
        return self._ask(url, urlencode(form), what)

    def _ask(self, url: str, form: str | None, what: str) -> Answer:
        parts = check_https(url, what=what)
        exchange = _Exchange(parts, form, self.seconds, self.at_most)
        try:
            status, body = exchange.run()
        except InvalidInputError as error:
            raise InvalidInputError(f"{what} at {url} {error.message}") from None
        except UnavailableError as error:
            raise UnavailableError(f"{what} at {url} {error.message}", hint=error.hint) from None
        if status in _REDIRECTS:
            raise InvalidInputError(
                f"{what} at {url} leads elsewhere ({status}), and no redirect is followed",
                hint="name the address where it is",
            )
        return Answer(what, url, status, body)


@dataclass(frozen=True, slots=True)
class _Exchange:
    """A request and its answer, in a thread of their own: looking up a name knows no time-out."""

    parts: SplitResult
    form: str | None
    seconds: float
    at_most: int

    def run(self) -> tuple[int, bytes]:
        answer: Future[tuple[int, bytes]] = Future()
        threading.Thread(target=self._fill, args=[answer], daemon=True).start()
        try:
            return answer.result(self.seconds)
        except TimeoutError:
            raise UnavailableError(f"does not answer within {self.seconds:g} seconds") from None

    def _fill(self, answer: "Future[tuple[int, bytes]]") -> None:
        try:
            answer.set_result(self._speak())
        except Exception as error:
            answer.set_exception(_translated(error))

    def _speak(self) -> tuple[int, bytes]:
        deadline = time.monotonic() + self.seconds
        connection = _Connection(
            self.parts.hostname or "",
            self.parts.port or 443,
            timeout=self.seconds,
            context=ssl.create_default_context(),
        )
        try:
            connection.request(
                "POST" if self.form is not None else "GET",
                (self.parts.path or "/") + (f"?{self.parts.query}" if self.parts.query else ""),
                self.form,
                self._headers(),
            )
            answer = connection.bounded_answer(deadline, self.at_most)
            try:
                answer.begin()
                return answer.status, answer.read()
            finally:
                answer.close()
        finally:
            connection.close()

    def _headers(self) -> dict[str, str]:
        headers = {
            "Accept": "application/json",
            "Connection": "close",
            "User-Agent": f"flagctl/{core.__version__}",
        }
        if self.form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        return headers


class _Connection(HTTPSConnection):
    """A connection whose answer is read through a `_Bounded`, from its first byte."""

    def bounded_answer(self, deadline: float, at_most: int) -> HTTPResponse:
        answer = HTTPResponse(self.sock)
        unbounded = answer.fp.detach()
        answer.fp = io.BufferedReader(_Bounded(unbounded, self.sock, deadline, at_most))
        return answer


class _Bounded(io.RawIOBase):
    """Reads until the time or the number of bytes is over, however small the pieces are."""

    def __init__(self, raw: Any, sock: socket.socket, deadline: float, at_most: int) -> None:
        super().__init__()
        self._raw = raw
        self._sock = sock
        self._deadline = deadline
        self._at_most = at_most
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        count: int | None = self._raw.readinto(buffer)
        self._read += count or 0
        if self._read > self._at_most:
            raise InvalidInputError(f"is larger than {self._at_most:,} bytes")
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


def _translated(error: Exception) -> Exception:
    """The end of a sentence that begins with what was asked. No foreign text that could hold
    what was sent.
    """
    match error:
        case FlagctlError():
            return error
        case ssl.SSLCertVerificationError():
            return UnavailableError(
                f"has a certificate that is not trusted: {error.verify_message}",
                hint="SSL_CERT_FILE names a file with the certificates of a CA of your own",
            )
        case ssl.SSLError():
            return UnavailableError(f"does not speak TLS as it should: {error.reason}")
        case TimeoutError():
            return UnavailableError("does not answer in time")
        case socket.gaierror() | UnicodeError():
            return UnavailableError("cannot be found: its name is not known here")
        case HTTPException():
            return UnavailableError(f"does not answer as HTTP does ({type(error).__name__})")
        case OSError():
            reason = error.strerror or type(error).__name__
            return UnavailableError(f"cannot be reached: {reason}")
        case _:
            return error
