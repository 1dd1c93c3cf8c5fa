"""What a request to an issuer withstands."""

import socket
import ssl
import threading
from pathlib import Path

import pytest

from core.errors import FlagctlError, InvalidInputError, UnavailableError
from core.services.openid.transport import AT_MOST, SECONDS, Transport
from tests.support.openid_issuers import (
    KEYS,
    Behaviour,
    OpenIdIssuer,
    content,
    document,
    drip,
    raw,
    redirect,
)

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
CHUNKS = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
NO_HTTP = (" does not answer as HTTP does (HTTPException)",)  # more than a hundred headers
IMPATIENT = Transport(seconds=0.3)


def ask(issuer: OpenIdIssuer, behaviour: Behaviour, transport: Transport) -> dict[str, object]:
    issuer.routes[KEYS] = behaviour
    return transport.get(issuer.url + KEYS, what="the key set").document()


def refused(
    issuer: OpenIdIssuer, behaviour: Behaviour, kind: type[FlagctlError], transport: Transport
) -> FlagctlError:
    with pytest.raises(FlagctlError) as caught:
        ask(issuer, behaviour, transport)
    assert type(caught.value) is kind
    start = f"the key set at {issuer.url}{KEYS}"
    assert caught.value.message.startswith(start)
    caught.value.message = caught.value.message.removeprefix(start)
    return caught.value


def test_it_is_asked_for_ten_seconds_and_64_kibibytes() -> None:
    assert (SECONDS, AT_MOST) == (10.0, 65_536)
    assert Transport() == Transport(seconds=SECONDS, at_most=AT_MOST)


def test_a_document(issuer: OpenIdIssuer, transport: Transport) -> None:
    assert ask(issuer, document({"a": [1, "é"]}), transport) == {"a": [1, "é"]}


def test_a_document_in_chunks(issuer: OpenIdIssuer, transport: Transport) -> None:
    chunked = raw(CHUNKS, b'4\r\n{"a"\r\n', b"3\r\n:1}\r\n0\r\n\r\n")
    assert ask(issuer, chunked, transport) == {"a": 1}


def test_a_form(issuer: OpenIdIssuer, transport: Transport) -> None:
    issuer.routes["/form"] = document({}, 400)
    answer = transport.post(issuer.url + "/form", {"a b": "c&d=é"}, what="the form")
    assert (answer.status, answer.json()) == (400, {})
    assert issuer.asked == [("/form", {"a b": "c&d=é"})]


def test_a_query_is_asked_too(issuer: OpenIdIssuer, transport: Transport) -> None:
    issuer.routes["/keys?p=1&q=%20"] = document({"asked": True})
    answer = transport.get(issuer.url + "/keys?p=1&q=%20", what="the key set")
    assert answer.document() == {"asked": True}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(issuer: OpenIdIssuer, transport: Transport, status: int) -> None:
    error = refused(issuer, redirect(issuer.url + "/other", status), InvalidInputError, transport)
    assert error.message == f" leads elsewhere ({status}), and no redirect is followed"
    assert [path for path, _ in issuer.asked] == [KEYS]


def test_the_largest_answer_that_is_read(issuer: OpenIdIssuer, transport: Transport) -> None:
    head = HEAD + b"\r\n"
    body = b'{"a": 1}'.ljust(AT_MOST - len(head))
    assert ask(issuer, raw(head, body), transport) == {"a": 1}
    error = refused(issuer, raw(head, body, b" "), InvalidInputError, transport)
    assert error.message == " is larger than 65,536 bytes"


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (content(b" " * 10_000_000), InvalidInputError),
        (raw(HEAD + b"\r\n", for_ever=b" " * 1_000), InvalidInputError),
        (raw(CHUNKS, for_ever=b"1\r\n \r\n"), InvalidInputError),
        (raw(HEAD, for_ever=b"X: 1\r\n" * 10), UnavailableError),
        (raw(HEAD + b"X: ", for_ever=b"x" * 1_000), InvalidInputError),
        (raw(for_ever=b"HTTP/1.1 100 Continue\r\n\r\n"), InvalidInputError),
    ],
    ids=["10 MB", "no end", "chunks", "headers", "a header", "continue"],
)
def test_an_answer_without_end_is_not_read(
    issuer: OpenIdIssuer, transport: Transport, behaviour: Behaviour, kind: type[FlagctlError]
) -> None:
    """Whoever sends it goes on until we go away."""
    error = refused(issuer, behaviour, kind, transport)
    assert error.message in (" is larger than 65,536 bytes", *NO_HTTP)


@pytest.mark.parametrize(
    "behaviour",
    [
        drip(),
        drip(HEAD),
        drip(HEAD, piece=b"X: 1\r\n"),
        drip(HEAD + b"\r\n"),
        drip(CHUNKS, piece=b"1\r\n \r\n"),
    ],
    ids=["status", "header", "headers", "body", "chunks"],
)
def test_an_answer_that_drips_has_an_end(issuer: OpenIdIssuer, behaviour: Behaviour) -> None:
    """It never stops: only a limit to all of it lets this test end."""
    error = refused(issuer, behaviour, UnavailableError, IMPATIENT)
    assert error.message in (" does not answer within 0.3 seconds", " does not answer in time")


def test_somebody_who_never_greets() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"https://127.0.0.1:{silent.getsockname()[1]}/"
        with pytest.raises(UnavailableError, match="does not answer"):
            IMPATIENT.get(url, what="the key set")


def test_nobody_is_there(transport: Transport) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(UnavailableError, match="cannot be reached: Connection refused"):
        transport.get(f"https://127.0.0.1:{port}/", what="the key set")


@pytest.mark.parametrize("host", ["nowhere.invalid", f"{'a' * 64}.invalid"])
def test_a_name_that_is_not_known(transport: Transport, host: str) -> None:
    with pytest.raises(UnavailableError, match="cannot be found: its name is not known here"):
        transport.get(f"https://{host}/", what="the key set")


def test_only_who_is_vouched_for(
    issuer: OpenIdIssuer, transport: Transport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert ask(issuer, document({}), transport) == {}
    monkeypatch.delenv("SSL_CERT_FILE")
    error = refused(issuer, document({}), UnavailableError, transport)
    assert error.message.startswith(" has a certificate that is not trusted: ")
    assert "SSL_CERT_FILE" in error.hint


def test_a_certificate_for_another_name(issuer: OpenIdIssuer, transport: Transport) -> None:
    url = issuer.url.replace("127.0.0.1", "localhost")
    with pytest.raises(UnavailableError, match="certificate that is not trusted: Hostname"):
        transport.get(url + KEYS, what="the key set")


def test_a_server_without_tls(transport: Transport) -> None:
    def greet(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection:
            connection.recv(1_000)
            connection.sendall(HEAD)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=greet, args=[server])
        thread.start()
        with pytest.raises(UnavailableError, match="does not speak TLS"):
            transport.get(f"https://127.0.0.1:{server.getsockname()[1]}/", what="the key set")
        thread.join()


def test_an_old_tls_is_not_spoken() -> None:
    assert ssl.create_default_context().minimum_version >= ssl.TLSVersion.TLSv1_2


def test_no_proxy_of_the_environment_is_used(
    issuer: OpenIdIssuer, transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert ask(issuer, document({}), transport) == {}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (204, InvalidInputError),
        (400, InvalidInputError),
        (401, InvalidInputError),
        (404, InvalidInputError),
        (429, UnavailableError),
        (500, UnavailableError),
        (503, UnavailableError),
    ],
)
def test_other_answers(
    issuer: OpenIdIssuer, transport: Transport, status: int, kind: type[FlagctlError]
) -> None:
    error = refused(issuer, content(b"", status), kind, transport)
    assert error.message.startswith(f" answers {status}")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", " is not valid: Expecting value at line 1, column 1"),
        (b"<html>", " is not valid: Expecting value at line 1, column 1"),
        (b"[]", " is not a JSON object"),
        (b"\xff", " is not UTF-8: byte 0"),
        (b'{"a": 1, "a": 2}', ": the key 'a' stands twice in $"),
        (b"[" * 1_000 + b"]" * 1_000, " is nested deeper than 64 levels"),
    ],
)
def test_what_is_no_document(
    issuer: OpenIdIssuer, transport: Transport, body: bytes, message: str
) -> None:
    error = refused(issuer, content(body), InvalidInputError, transport)
    assert (error.message, error.hint) == (message, "")


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        (b"", "RemoteDisconnected"),
        (b"SSH-2.0-x\r\n", "BadStatusLine"),
        (HEAD + b"Content-Length: 9\r\n\r\n{}", "IncompleteRead"),
    ],
)
def test_what_is_not_http(
    issuer: OpenIdIssuer, transport: Transport, answer: bytes, named: str
) -> None:
    error = refused(issuer, raw(answer), UnavailableError, transport)
    assert error.message == f" does not answer as HTTP does ({named})"
