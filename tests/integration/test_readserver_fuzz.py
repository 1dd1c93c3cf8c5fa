"""Whatever the OpenAPI document allows, and whatever it forbids, is answered as it says.

Two makers of requests: schemathesis, thorough and slow, and one of our own (openapi_requests). The
same requests in each run; FLAGCTL_TEST_FUZZ=50000 (`make fuzz`) takes as many other ones of both.
"""

import gzip
import http.client
import json
import os
import secrets
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import Any, Final, Literal

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from schemathesis import Case, GenerationMode, checks
from schemathesis.core.result import Ok

from core.services import configs, flags, overrides, rules
from core.value_types import ValueType
from tests.support import ofrep_worlds, readers
from tests.support.installations import Cluster, Installation
from tests.support.openapi_requests import Request, Requests

MORE = int(os.environ.get("FLAGCTL_TEST_FUZZ", "0"))
CASES = MORE or 100
REQUESTS = MORE or 5_000
BOTH = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
CHECKS = [
    checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]
Method = Literal["HEAD", "POST", "OPTIONS"] | None
METHODS: Final[tuple[Method, ...]] = (
    None,
    None,
    None,
    "HEAD",
    "POST",
    "OPTIONS",
)  # None: what the document has
HEADERS = (
    {"Accept-Encoding": "gzip;q=0, *;q=0.1"},
    {"If-None-Match": "*"},
    {"Origin": "https://app.example.com", "Access-Control-Request-Method": "GET"},
    {"X-Forwarded-For": "::1, unknown"},
)


PUBLIC = ("/v1/", "/ofrep/")
KNOWN = {
    "environment": ("prod", "prod", "prod", "dev"),
    "key": ("new_checkout", "checkout_layout", "picky", "integer", "large", "nope"),
    "attribute": (
        "targetingKey",
        "country",
        "app_version",
        "n",
        "address",
        "name",
        "since",
        "user",
    ),
    "entity_key": ("picky", "prod", "max_items"),
    "actor": ("admin@example.com",),
    "action": ("create", "update"),
    "since": ("2020-01-01T00:00:00Z", "2020-01-01"),
    "until": ("2100-01-01T00:00:00+02:00",),
    "cursor": ("5", "1"),
    "organization": ("default",),
}


@dataclass(frozen=True)
class World:
    """A read server whose client keys have no rate that matters, and who may ask it."""

    reader: readers.Reader
    keys: tuple[str, str]
    token: str
    document: dict[str, Any]
    session: requests.Session

    def port(self, path: str) -> int:
        return self.reader.port if path.startswith(PUBLIC) else self.reader.admin_port

    @property
    def ports(self) -> tuple[int, int]:
        return self.reader.port, self.reader.admin_port

    def talk(self, port: int) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", port, timeout=20)

    def lines(self) -> dict[str, tuple[str, ...]]:
        """Lines of Authorization, by the beginning of a path; one of the admin's is wrong."""
        both = (self.keys[0], f"Bearer {self.keys[0]}", self.keys[1])
        return {**dict.fromkeys(PUBLIC, both), "/": (self.token, self.token, self.keys[0])}

    def credentials(self, case: Case[Any]) -> tuple[str, str]:
        """Both keys; for the admin's paths the token, and a key that is none there."""
        return self.keys if case.path.startswith(PUBLIC) else (self.token, self.keys[0])


@pytest.fixture(scope="module")
def world(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with cluster.installation() as installation, requests.Session() as session:
        keys = ofrep_worlds.define(installation)
        define_more(installation)
        found = readers.settings_for(installation) | {
            "FLAGCTL_CLIENT_RATE": "100000",
            "FLAGCTL_CLIENT_BURST": "100000",
            "FLAGCTL_CORS_ORIGINS": "https://app.example.com",
            "FLAGCTL_TRUSTED_PROXIES": "127.0.0.1",
            "FLAGCTL_STREAM_KEY_LIMIT": "0",  # an answer without an end would end the test
        }
        with readers.running(tmp_path_factory.mktemp("reader"), found) as reader:
            document = reader.get("/openapi.json", admin=True).json()
            token = f"Bearer {installation.token.reveal()}"
            yield World(reader, keys, token, document, session)


def define_more(installation: Installation) -> None:
    """A flag that asks contexts for everything that an operator can fail at, and a config."""
    tests: list[Any] = [
        {"attr": "n", "op": "gt", "value": 2**60},
        {"attr": "country", "op": "starts_with", "value": "D"},
        {"attr": "address", "op": "cidr", "values": ["10.0.0.0/8", "::1"]},
        {"attr": "name", "op": "matches", "value": "^(?i)PRO$"},
        {"attr": "since", "op": "before", "value": "2025-06-01T12:00:00+02:00"},
        {"attr": "app_version", "op": "semver_lt", "value": "2.1.0"},
    ]
    with installation.change() as change:
        flags.create_flag(change, flags.Definition("picky", client_visible=True))
        overrides.set_override(change, "picky", "prod", "on", overrides.Rollout(50, "user.id"))
        configs.define_config(change, configs.Definition("max_items", ValueType.INTEGER))
        configs.set_value(change, "max_items", "prod", 5)
    with installation.change() as change:
        new = rules.NewRule(when={"any": tests}, serve={"variant": "off"}, id="any")
        rules.add_rule(change, "picky", "prod", new)


def strategy(document: dict[str, Any]) -> st.SearchStrategy[Case[Any]]:
    """Cases of all operations; one that takes nothing cannot be given anything wrong."""
    found = schemathesis.openapi.from_dict(document).get_all_operations()
    operations = [operation.ok() for operation in found if isinstance(operation, Ok)]
    assert len(operations) >= len(document["paths"])
    return st.one_of(
        [
            operation.as_strategy(generation_mode=mode)
            for operation in operations
            for mode in BOTH
            if mode is GenerationMode.POSITIVE or operation.query
        ]
    )


@pytest.mark.timeout(0 if MORE else 120)
def test_no_request_is_a_fault_of_ours(world: World) -> None:
    seen: Counter[int] = Counter()

    @settings(
        max_examples=CASES,
        derandomize=not MORE,
        database=None,
        deadline=None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(
        case=strategy(world.document),
        credential=st.sampled_from((0, 1, None)),  # None: what the case has
        method=st.sampled_from(METHODS),
        headers=st.sampled_from(HEADERS),
    )
    def ask(
        case: Case[Any], credential: int | None, method: Method, headers: dict[str, str]
    ) -> None:
        if credential is not None:
            case.headers.pop("X-API-Key", None)
            case.headers["Authorization"] = world.credentials(case)[credential]
        described = method is None
        case.method = method or case.method
        answer = case.call(
            base_url=f"http://127.0.0.1:{world.port(case.path)}",
            session=world.session,
            headers=headers,
            timeout=20,
        )
        seen[answer.status_code] += 1
        if described:
            case.validate_response(answer, checks=CHECKS)
        assert answer.status_code < 500

    ask()
    print(sum(seen.values()), "requests:", dict(seen))
    assert {200, 400, 401, 405} <= seen.keys(), "a fuzz of junk alone would prove nothing"


@pytest.mark.timeout(0 if MORE else 120)
def test_thousands_of_requests(world: World) -> None:
    seed = secrets.randbits(32) if MORE else 4
    made = Requests(world.document, KNOWN, world.lines(), seed=seed)
    answers = Answers(world.document)
    with ExitStack() as stack:
        talks = {port: stack.enter_context(closing(world.talk(port))) for port in world.ports}
        for number in range(REQUESTS):
            request = made.number(number)
            fault = answers.fault(request, *asked(talks[world.port(request.path)], request))
            assert not fault, f"{fault} (seed {seed}, number {number}): {request}"
    print(answers.seen.total(), "requests:", dict(answers.seen))
    assert {200, 304, 400, 401, 403, 404, 405, 415} <= answers.seen.keys()
    assert answers.seen[200] > REQUESTS / 4, "a fuzz of junk alone would prove nothing"


def asked(
    talk: http.client.HTTPConnection, request: Request
) -> tuple[http.client.HTTPResponse, bytes]:
    """On a connection that is kept as long as the server keeps it."""
    talk.request(request.method, request.path, request.body, dict(request.headers))
    response = talk.getresponse()
    return response, response.read()


class Answers:
    """Holds answers against the document; the same answer to the same operation once only."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._components = document["components"]
        self._known: set[tuple[int, int, bytes]] = set()
        self.seen: Counter[int] = Counter()

    def fault(self, request: Request, answer: http.client.HTTPResponse, body: bytes) -> str:
        """What is wrong with it; nothing most often."""
        self.seen[answer.status] += 1
        if answer.status >= 500:
            return f"a fault of ours: {answer.status}"
        operation = request.operation
        if operation is None or (id(operation), answer.status, body) in self._known:
            return ""
        self._known.add((id(operation), answer.status, body))
        described = operation["responses"].get(str(answer.status))
        if described is None:
            return f"{answer.status} is not in the document"
        content = described.get("content")
        if not content:
            return ""
        media_type = (answer.getheader("Content-Type") or "").partition(";")[0]
        if media_type not in content:
            return f"{media_type} is not in the document"
        return self._misfit(content[media_type].get("schema", {}), answer, body)

    def _misfit(self, schema: dict[str, Any], answer: http.client.HTTPResponse, body: bytes) -> str:
        if answer.getheader("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        whole = {**schema, "components": self._components}
        error = next(Draft202012Validator(whole).iter_errors(json.loads(body)), None)
        return f"{body!r} is not as described: {error.message}" if error else ""
