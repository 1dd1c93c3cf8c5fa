"""The admin listener: the audit log with a token, metrics, documents."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest

from core.auth import tokens
from core.auth.actor import Role
from core.services import tokens as token_service
from tests.support import readers
from tests.support.installations import Cluster, Installation
from tests.support.readers import Answer, Reader, switch
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
def written(cluster: Cluster) -> Iterator[Installation]:
    with cluster.installation() as installation:
        readers.fill(installation)
        for state in ("off", "on", "inherit"):
            switch(installation, state)
        yield installation


@pytest.fixture(scope="module")
def reader(written: Installation, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    settings = readers.settings_for(written)
    with readers.running(tmp_path_factory.mktemp("reader"), settings) as running:
        yield running


def ask(reader: Reader, token: str | None, query: str = "") -> Answer:
    header = None if token is None else f"Bearer {token}"
    return reader.get(f"/admin/audit-logs{query}", header, admin=True)


def ids(answer: Answer) -> list[int]:
    assert answer.status == 200, answer.body
    return [item["id"] for item in answer.json()["items"]]


def test_newest_first(written: Installation, reader: Reader) -> None:
    answer = ask(reader, written.token.reveal())
    last = written.last_event()
    assert ids(answer) == list(range(last, 0, -1))
    assert answer.json()["next_cursor"] is None
    newest = answer.json()["items"][0]
    assert newest["entity_type"] == "feature"
    assert newest["entity_key"] == "dark_mode"
    assert newest["environment"] == "prod"
    assert (newest["before"]["enabled"], newest["after"]["enabled"]) == (True, None)


def test_pages(written: Installation, reader: Reader) -> None:
    token, seen, cursor = written.token.reveal(), [], ""
    while True:
        page = ask(reader, token, f"?limit=3{cursor}")
        seen += ids(page)
        if (next_cursor := page.json()["next_cursor"]) is None:
            break
        cursor = f"&cursor={next_cursor}"
    assert seen == list(range(written.last_event(), 0, -1))


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ("?entity_type=feature&entity_key=dark_mode&environment=prod", 3),
        ("?entity_type=config&entity_key=max_items", 2),
        ("?actor=nobody", 0),
        ("?action=no_such_action", 0),
        ("?until=2020-01-01", 0),
        ("?since=2999-01-01T00:00:00Z", 0),
    ],
)
def test_filters(written: Installation, reader: Reader, query: str, count: int) -> None:
    assert len(ids(ask(reader, written.token.reveal(), query))) == count


@pytest.mark.parametrize(
    "query",
    [
        "?limit=0",
        "?limit=1001",
        "?limit=x",
        "?cursor=x",
        "?cursor=-1",
        "?since=yesterday",
        "?until=2026-02-30",
        "?entity_type=flag",
        "?entity_key=%00",
        "?unknown=1",
        "?limit=1&limit=2",
        "?actor=%ff",
    ],
)
def test_400_for_bad_filters(written: Installation, reader: Reader, query: str) -> None:
    answer = ask(reader, written.token.reveal(), query)
    assert answer.status == 400, answer.body
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_viewer_may_read(written: Installation, reader: Reader) -> None:
    assert ids(ask(reader, written.token_for(Role.VIEWER).reveal()))


def forged(written: Installation, **claims: Any) -> str:
    """A token of the right form, signed by somebody else."""
    origin = tokens.origin(written.token.reveal())
    private, _ = tokens.generate_key_pair(2_048)
    body = jwt.decode(written.token.reveal(), options={"verify_signature": False}) | claims
    return tokens.sign(body, private, origin.key_id)


def test_401_for_tokens_that_are_not_good(written: Installation, reader: Reader) -> None:
    token = written.token.reveal()
    head, body, signature = token.split(".")
    none = jwt.encode({"sub": "x", "iss": "flagctl"}, "", algorithm="none")
    for bad in (
        None,
        "x",
        "a.b.c",
        none,
        f"{head}.{body}.{signature[:-8]}AAAAAAAA",
        forged(written),
        forged(written, iss="https://evil.example.com"),
        forged(written, iss="a\0b"),
        jwt.encode({"sub": "x", "iss": "flagctl"}, "secret" * 8, algorithm="HS256"),
    ):
        answer = ask(reader, bad)
        assert answer.status == 401, (bad, answer.body)
        assert answer.json()["code"] == "unauthenticated"


def test_no_token_holds_up_the_checks(written: Installation, reader: Reader) -> None:
    """Good tokens wait for a lock, as many as may; forged ones get no connection at all."""
    good, bad = written.token.reveal(), forged(written)
    with (
        ThreadPoolExecutor(20) as threads,
        written.connect() as locking,
        locking.transaction(),
    ):
        locking.execute("LOCK TABLE flagctl.audit_events IN ACCESS EXCLUSIVE MODE")
        asking = [threads.submit(ask, reader, good) for _ in range(20)]
        eventually(lambda: sum(future.done() for future in asking) == 3, "17 wait", within=20)
        refused = [future.result() for future in asking if future.done()]
        assert {(a.status, a.headers["retry-after"]) for a in refused} == {(503, "1")}
        assert ask(reader, bad).status == 401
        checks = reader.metric("flagctl_checks_total")
        eventually(lambda: reader.metric("flagctl_checks_total") > checks, "a check", within=20)
        assert reader.metric("flagctl_age_seconds") < 3
        used = written.ask(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'flagctl readserver'"
        )
        assert used[0][0] <= 3
    eventually(lambda: ask(reader, good).status == 200, "the log is free again")


def test_a_new_key_is_trusted_at_once_and_a_revoked_one_no_more(
    written: Installation, reader: Reader
) -> None:
    old = written.token.reveal()
    private, public = tokens.generate_key_pair(2_048)
    claims = jwt.decode(old, options={"verify_signature": False})
    token = tokens.sign(claims, private, "another")
    assert ask(reader, token).status == 401
    written.govern(
        "INSERT INTO flagctl.issuer_keys (issuer_id, key_id, modulus)"
        " SELECT id, 'another', %s FROM flagctl.issuers WHERE issuer = %s",
        parameters=[tokens.modulus_of(public), claims["iss"]],
    )
    assert ask(reader, token).status == 200
    written.govern("UPDATE flagctl.issuer_keys SET revoked_at = now() WHERE key_id = 'another'")
    assert ask(reader, token).status == 401


def test_401_for_a_revoked_token(written: Installation, reader: Reader) -> None:
    token = written.token_for(Role.VIEWER).reveal()
    jti = jwt.decode(token, options={"verify_signature": False})["jti"]
    assert ask(reader, token).status == 200
    with written.change() as change:
        token_service.revoke_token(change, jti)
    answer = ask(reader, token)
    assert (answer.status, "revoked" in answer.json()["detail"]) == (401, True)


def test_403_for_another_organization(written: Installation, reader: Reader) -> None:
    answer = ask(reader, written.token.reveal(), "?organization=another")
    assert (answer.status, answer.json()["code"]) == (403, "forbidden")


def test_an_api_key_is_no_token(written: Installation, reader: Reader) -> None:
    assert ask(reader, "fcs_" + "0" * 54).status == 401


def test_metrics(reader: Reader) -> None:
    answer = reader.get("/metrics", admin=True)
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain")
    for name in ("flagctl_responses_total", "flagctl_postgres_up", "flagctl_age_seconds"):
        assert name.encode() in answer.body


def test_documents(reader: Reader) -> None:
    described = reader.get("/openapi.json", admin=True).json()
    assert {"/v1/flags", "/v1/configs", "/admin/audit-logs"} <= described["paths"].keys()
    page = reader.get("/docs", admin=True)
    assert page.headers["content-type"].startswith("text/html")
    assert b"/v1/flags" in page.body
    assert b"<script" not in page.body
    assert b"://" not in page.body, "nothing is fetched from elsewhere"
    for path in described["paths"]:
        assert path.encode() in page.body


def test_health_is_on_both(reader: Reader) -> None:
    assert reader.get("/healthz", admin=True).status == 200


def test_the_flags_are_not(reader: Reader) -> None:
    assert reader.get("/v1/flags", admin=True).status == 404


def test_both_on_one_port(written: Installation, tmp_path: Path) -> None:
    settings = readers.settings_for(written) | {
        "FLAGCTL_LISTEN": "127.0.0.1:0",
        "FLAGCTL_ADMIN_LISTEN": "127.0.0.1:0",
    }
    with readers.running(tmp_path, settings) as reader:
        assert reader.port == reader.admin_port
        assert reader.get("/metrics").status == 200
        assert reader.get("/v1/flags").status == 401
        eventually(lambda: ask(reader, written.token.reveal()).status == 200, "the log is there")
