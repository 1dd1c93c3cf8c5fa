"""The fast lane beside the ordinary path: two readers of one installation, asked the same bytes."""

import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.services import configs
from core.services.api_keys import create_key
from core.value_types import ValueType
from tests.support import ofrep_worlds, readers
from tests.support.installations import Cluster, Installation
from tests.support.ofrep_worlds import BULK
from tests.support.readers import Reader
from tests.support.waiting import eventually

_LAST = b"GET /last HTTP/1.1\r\nConnection: close\r\n\r\n"
_DATE = re.compile(rb"(?m)^date: [^\r]+\r\n")
_MEGABYTE = 1_048_576
LARGEST = 2_000  # bytes of a context


@dataclass(frozen=True)
class Known:
    """What both readers know already: keys of prod, entity tags by path, and a key of dev, whose
    configs are 4 MB."""

    server_key: bytes = b""
    client_key: bytes = b""
    flags: bytes = b""
    bulk: bytes = b""
    large_key: bytes = b""


@dataclass(frozen=True)
class Lanes:
    """A reader with the fast lane and one without."""

    fast: Reader
    plain: Reader
    known: Known

    def both(self, *pieces: bytes, last: bytes = _LAST) -> bytes:
        """What both say, but for the date: to this, then to one more request that closes."""
        found = said(self.fast, *pieces, last=last)
        assert found == said(self.plain, *pieces, last=last)
        return found


def said(reader: Reader, *pieces: bytes, last: bytes = _LAST) -> bytes:
    """All that comes back until the server closes."""
    with socket.create_connection(("127.0.0.1", reader.port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found = b""
        with suppress(ConnectionError):
            for piece in (*pieces, last):
                connection.sendall(piece)
            while data := connection.recv(262_144):
                found += data
    return _DATE.sub(b"", found)


@pytest.fixture(scope="module")
def lanes(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lanes]:
    with cluster.installation() as installation, ExitStack() as stack:
        server, client = ofrep_worlds.define(installation)
        large = large_configs(installation)
        folder = tmp_path_factory.mktemp("reader")
        found = readers.settings_for(installation) | {
            "FLAGCTL_HEADER_TIMEOUT": "0.5",
            "FLAGCTL_BODY_TIMEOUT": "1",
            "FLAGCTL_CLIENT_RATE": "100000",
            "FLAGCTL_CLIENT_BURST": "100000",
            "FLAGCTL_CONTEXT_BYTES": str(LARGEST),
        }
        running = [
            stack.enter_context(
                readers.running(folder, found | {"FLAGCTL_FAST_LANE": lane}, ready=False)
            )
            for lane in ("on", "off")
        ]
        for reader in running:
            eventually(lambda: reader.get("/readyz").status == 200, "it is ready")  # noqa: B023
            for key in (client, server):
                answers = [reader.get(path, key) for path in ("/v1/configs", "/v1/flags")]
                answers.append(reader.ask("POST", BULK, key, body=CONTEXT))
            reader.get("/v1/configs", large)
        flags, bulk = (answer.headers["etag"].encode() for answer in answers[1:])
        fast, plain = running
        yield Lanes(
            fast, plain, Known(server.encode(), client.encode(), flags, bulk, large.encode())
        )


def large_configs(installation: Installation) -> str:
    """A key of the environment that has them."""
    with installation.change() as change:
        for number in range(16):
            key = f"large_{number}"
            configs.define_config(change, configs.Definition(key, ValueType.STRING))
            configs.set_value(change, key, "dev", "x" * 250_000)
        return create_key(change, "app", "dev").key


CONTEXT = b'{"context":{"targetingKey":"u1","country":"DE","app_version":"2.3.0"}}'


def get(known: Known, *lines: bytes, path: bytes = b"/v1/flags", version: bytes = b"1.1") -> bytes:
    head = [b"GET " + path + b" HTTP/" + version, b"Host: x"]
    return b"\r\n".join([*head, b"Authorization: " + known.server_key, *lines, b"", b""])


def post(known: Known, *lines: bytes, path: bytes = BULK.encode(), body: bytes = CONTEXT) -> bytes:
    length = b"Content-Length: %d" % len(body)
    head = [b"POST " + path + b" HTTP/1.1", b"Host: x", length]
    return b"\r\n".join([*head, b"Authorization: " + known.server_key, *lines, b"", body])


ONE = BULK.encode() + b"/checkout_layout"


def table(known: Known) -> dict[str, tuple[int, tuple[bytes, ...]]]:
    """Each with the status of its first answer (0: none), and the pieces that are sent."""
    tag, plain, both = known.flags, get(known), post(known)
    return {
        "200": (200, (plain,)),
        "configs": (200, (get(known, path=b"/v1/configs"),)),
        "large configs": (
            200,
            (get(known, path=b"/v1/configs").replace(known.server_key, known.large_key) * 3,),
        ),
        "environment": (200, (get(known, path=b"/v1/flags?environment=prod"),)),
        "another environment": (403, (get(known, path=b"/v1/flags?environment=dev"),)),
        "an unknown parameter": (200, (get(known, path=b"/v1/flags?_=1"),)),
        "a question mark": (200, (get(known, path=b"/v1/flags?"),)),
        "a fragment": (200, (get(known, path=b"/v1/flags#x"),)),
        "escaped": (200, (get(known, path=b"/v1/%66lags"),)),
        "absolute": (200, (get(known, path=b"http://x/v1/flags"),)),
        "304": (304, (get(known, b"If-None-Match: " + tag),)),
        "304 of several": (304, (get(known, b'If-None-Match: "x", ' + tag),)),
        "another tag": (200, (get(known, b'If-None-Match: "x"'),)),
        "two fields": (304, (get(known, b'If-None-Match: "x"', b"If-None-Match: " + tag),)),
        "packed": (200, (get(known, b"Accept-Encoding: br, gzip"),)),
        "HEAD": (200, (plain.replace(b"GET", b"HEAD", 1),)),
        "OPTIONS": (405, (plain.replace(b"GET", b"OPTIONS", 1),)),
        "HTTP/1.0": (200, (get(known, version=b"1.0"),)),
        "HTTP/1.0, kept": (200, (get(known, b"Connection: keep-alive", version=b"1.0"),)),
        "close": (200, (get(known, b"Connection: close"),)),
        "keep-alive": (200, (get(known, b"Connection: Keep-Alive"),)),
        "upgrade": (200, (get(known, b"Connection: Upgrade, close", b"Upgrade: h2c"),)),
        "an origin": (200, (get(known, b"Origin: https://x.example"),)),
        "two keys": (401, (get(known, b"X-API-Key: " + known.client_key),)),
        "another key": (200, (plain.replace(known.server_key, known.client_key),)),
        "a wrong key": (401, (plain.replace(known.server_key, known.server_key[:-1] + b"!"),)),
        "no key": (401, (plain.replace(b"Authorization", b"X-Other"),)),
        "Bearer": (200, (plain.replace(b"ation: ", b"ation: Bearer "),)),
        "blanks": (200, (plain.replace(b"ation: ", b"ation: \t ").replace(b"x\r\n", b"x \r\n"),)),
        "a GET with a body": (200, (get(known, b"Content-Length: 3") + b"abc", plain)),
        "a GET with none": (200, (get(known, b"Content-Length: 0"), plain)),
        "pipelined": (200, (plain * 40,)),
        "pipelined, mixed": (200, ((plain + both + get(known, path=b"/x") + plain) * 12,)),
        "pipelined, then nonsense": (200, (plain * 3 + b"nonsense\r\n\r\n",)),
        "pipelined, then a bad body": (
            200,
            (plain * 3 + get(known, path=b"/x") + post(known)[:-9] + b"GET / HTTP/9.9\r\n\r\n",),
        ),
        "pipelined, then too much": (200, (plain * 3 + get(known, b"X: " + b"x" * 70_000),)),
        "pipelined, the last closes": (200, (plain * 3 + get(known, b"Connection: close"),)),
        "blank lines before": (200, (b"\r\n\r\n" + plain, b"\r\n" + plain)),
        "in pieces": (200, (plain[:9], plain[9:-3], plain[-3:] + plain[:30], plain[30:])),
        "a head that goes on": (400, (plain[:-2],)),
        "a large head": (200, (get(known, b"X: " + b"x" * 60_000),)),
        "too large a head": (431, (get(known, b"X: " + b"x" * 70_000),)),
        "bare line feeds": (400, (plain.replace(b"\r\n", b"\n"),)),
        "no HTTP": (400, (b"\x00\x01\r\n\r\n",)),
        "one flag": (200, (post(known, path=ONE),)),
        "one flag for nobody": (200, (post(known, path=ONE, body=b"{}"),)),
        "no targeting key": (
            400,
            (post(known, path=BULK.encode() + b"/new_checkout", body=b"{}"),),
        ),
        "an unknown flag": (404, (post(known, path=BULK.encode() + b"/nope"),)),
        "a flag in pieces": (200, (post(known, path=ONE)[:-20], post(known, path=ONE)[-20:])),
        "all flags": (200, (both,)),
        "all flags, 304": (304, (post(known, b"If-None-Match: " + known.bulk),)),
        "all flags, packed": (200, (post(known, b"Accept-Encoding: gzip"),)),
        "all flags for others": (200, (both.replace(known.server_key, known.client_key),)),
        "a slash too many": (200, (post(known, path=b"/" + ONE),)),
        "a slash at the end": (404, (post(known, path=BULK.encode() + b"/"),)),
        "GET of an evaluation": (405, (get(known, path=ONE),)),
        "the map": (200, (post(known, path=b"/v1/flags"),)),
        "JSON": (200, (post(known, b"Content-Type: application/json; charset=utf-8"),)),
        "no JSON": (415, (post(known, b"Content-Type: text/plain"),)),
        "twice JSON": (415, (post(known, b"Content-Type: a/json", b"Content-Type: text/plain"),)),
        "a bad body": (400, (post(known, body=b'{"context":'), plain)),
        "a bad context": (400, (post(known, body=b'{"context":{"a":"\\ud800"}}'),)),
        "an empty body": (400, (post(known, body=b""),)),
        "UTF-16": (200, (post(known, body='{"context":{}}'.encode("utf-16")),)),
        "expected": (100, (post(known, b"Expect: 100-continue"),)),
        "chunked": (
            200,
            (
                post(known, b"Transfer-Encoding: chunked", body=b"").replace(
                    b"Content-Length: 0\r\n", b""
                )
                + b"2\r\n{}\r\n0\r\n\r\n",
            ),
        ),
        "a body that goes on": (400, (post(known, b"Content-Length: 9"),)),
        "the largest body": (200, (post(known, body=CONTEXT.ljust(LARGEST)),)),
        "one byte more": (413, (post(known, body=CONTEXT.ljust(LARGEST + 1)),)),
        "too large a body": (413, (post(known, body=b"x" * (_MEGABYTE + 1)),)),
    }


@pytest.mark.parametrize("name", list(table(Known())))
def test_both_say_the_same(lanes: Lanes, name: str) -> None:
    status, pieces = table(lanes.known)[name]
    found = lanes.both(*pieces)
    assert found.startswith(b"HTTP/1.1 %d " % status), found[:200]


def test_what_is_not_finished_ends_in_both(lanes: Lanes) -> None:
    plain, both = get(lanes.known), post(lanes.known)
    begun = (b"", plain[:-2], plain + plain[:20], both[:-1], plain + both[:-1])
    with ThreadPoolExecutor(len(begun)) as pool:
        found = list(pool.map(lambda piece: lanes.both(piece, last=b""), begun))
    assert [re.findall(rb"HTTP/1.1 (\d+)", said) for said in found] == [
        *([], [], [b"200"], [b"408"], [b"200", b"408"])
    ]


def requests(known: Known) -> st.SearchStrategy[bytes]:
    """Requests that are right, nearly right, and wrong, one to three in a row."""
    etags = [known.flags, known.bulk, b'"x"', b"*"]
    keys = [known.server_key, b"Bearer " + known.server_key, known.client_key, b"nonsense", b""]
    paths = [b"/v1/flags", b"/v1/configs", b"/v1/snapshot", BULK.encode(), ONE, ONE + b"x"]
    queries = [b"", b"", b"", b"?environment=prod", b"?environment=dev", b"?", b"?x=%00", b"#"]
    line = st.one_of(
        st.sampled_from([b"Authorization: ", b"authorization:", b"X-API-Key: "]).flatmap(
            lambda name: st.sampled_from(keys).map(lambda key: name + key)
        ),
        st.sampled_from(etags).map(lambda etag: b"If-None-Match: " + etag),
        st.sampled_from(
            [
                b"Accept-Encoding: gzip",
                b"Accept-Encoding: identity",
                b"Content-Type: application/json",
                b"Content-Type: text/html",
                b"Connection: keep-alive",
                b"Connection: close",
                b"Origin: https://x.example",
                b"Expect: 100-continue",
                b"Transfer-Encoding: chunked",
                b"Upgrade: h2c",
                b"X: y",
                b": z",
                b" folded",
            ]
        ),
        st.binary(max_size=12).map(lambda value: b"X-Random: " + value),
    )
    body = st.sampled_from([b"", b"", CONTEXT, b"{}", b'{"context":1}', b"{", b"\r\n\r\n"])
    context = st.text(max_size=8).map(lambda key: json.dumps({"context": {"targetingKey": key}}))

    @st.composite
    def one(draw: st.DrawFn) -> bytes:
        sent = draw(st.one_of(body, context.map(str.encode)))
        lines = draw(st.lists(line, max_size=3))
        if draw(st.integers(0, 4)):
            lines.append(b"Authorization: " + known.server_key)
        if sent and draw(st.integers(0, 9)):
            lines.append(b"Content-Length: %d" % len(sent))
        method = draw(st.sampled_from([b"GET", b"POST"] * 4 + [b"HEAD", b"BREW", b"get"]))
        version = draw(st.sampled_from([b"1.1"] * 8 + [b"1.0", b"2.0", b""]))
        target = draw(st.sampled_from(paths)) + draw(st.sampled_from(queries))
        first = method + b" " + target + b" HTTP/" + version
        return b"\r\n".join([first, b"Host: x", *lines, b"", sent])

    return st.lists(one(), min_size=1, max_size=3).map(b"".join)


@settings(max_examples=200, derandomize=True, deadline=None)
@given(data=st.data())
def test_random_requests_get_the_same_from_both(lanes: Lanes, data: st.DataObject) -> None:
    # In one packet: of a request at fault it depends on when the fault comes what is said of it.
    lanes.both(data.draw(requests(lanes.known)) + _LAST, last=b"")


def resident(reader: Reader) -> int:
    """Bytes of memory."""
    return int(Path(f"/proc/{reader.process.pid}/statm").read_text().split()[1]) * 4_096


@pytest.mark.parametrize("lane", ["fast", "plain"])
@pytest.mark.parametrize("path", ["/v1/flags", "/nowhere", BULK])
def test_who_pipelines_and_never_reads_costs_little(lanes: Lanes, lane: str, path: str) -> None:
    """The server stops reading: what it holds is bounded, however much is sent."""
    reader: Reader = getattr(lanes, lane)
    asked = post(lanes.known) if path == BULK else get(lanes.known, path=path.encode())
    pipelined = memoryview(asked * (2 * _MEGABYTE // len(asked)))
    said(reader, asked * 200)
    before = resident(reader)
    with socket.create_connection(("127.0.0.1", reader.port)) as connection:
        connection.settimeout(0.5)  # of a server that has stopped reading
        sent = 0
        with suppress(TimeoutError):
            while sent < 50 * _MEGABYTE:
                sent += connection.send(pipelined)
        assert sent < 50 * _MEGABYTE
        assert resident(reader) - before < 8 * _MEGABYTE
        # It reads at last, and gets everything that was sent whole.
        connection.settimeout(10)
        assert connection.recv(12) == b"HTTP/1.1 " + (b"404" if path == "/nowhere" else b"200")


@pytest.mark.parametrize("lane", ["fast", "plain"])
def test_many_who_do_not_read_a_large_answer_share_it(lanes: Lanes, lane: str) -> None:
    reader: Reader = getattr(lanes, lane)
    asked = get(lanes.known, path=b"/v1/configs").replace(
        lanes.known.server_key, lanes.known.large_key
    )
    assert len(said(reader, asked)) > 4_000_000
    before = resident(reader)
    with ExitStack() as stack:
        for _ in range(30):
            connection = stack.enter_context(socket.socket())
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.settimeout(10)
            connection.connect(("127.0.0.1", reader.port))
            connection.sendall(asked)
            assert connection.recv(12) == b"HTTP/1.1 200"  # so all of it is written
        assert resident(reader) - before < 8 * _MEGABYTE
