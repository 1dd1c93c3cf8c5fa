"""Whatever the OpenAPI document allows, and whatever it forbids, is answered as it says.

The same requests in each run; FLAGCTL_TEST_FUZZ=50000 (`make fuzz`) takes as many other ones.
"""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode, checks
from schemathesis.core.result import Ok

from tests.support import readers
from tests.support.installations import Cluster

MORE = int(os.environ.get("FLAGCTL_TEST_FUZZ", "0"))
CASES = MORE or 200
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


@dataclass(frozen=True)
class World:
    """A read server whose client keys have no rate that matters, and who may ask it."""

    reader: readers.Reader
    keys: tuple[str, str]
    token: str
    cases: st.SearchStrategy[Case[Any]]
    session: requests.Session

    def base_url(self, case: Case[Any]) -> str:
        port = self.reader.port if case.path.startswith(PUBLIC) else self.reader.admin_port
        return f"http://127.0.0.1:{port}"

    def credentials(self, case: Case[Any]) -> tuple[str, str]:
        """Both keys; for the admin's paths the token, and a key that is none there."""
        return self.keys if case.path.startswith(PUBLIC) else (self.token, self.keys[0])


@pytest.fixture(scope="module")
def world(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with cluster.installation() as installation, requests.Session() as session:
        prod = readers.fill(installation)
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
            keys = (prod.server_key, prod.client_key)
            yield World(reader, keys, token, strategy(document), session)


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
        case=world.cases,
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
            base_url=world.base_url(case), session=world.session, headers=headers, timeout=20
        )
        seen[answer.status_code] += 1
        if described:
            case.validate_response(answer, checks=CHECKS)
        assert answer.status_code < 500

    ask()
    print(sum(seen.values()), "requests:", dict(seen))
    assert {200, 304, 400, 401, 405} <= seen.keys(), "a fuzz of junk alone would prove nothing"
