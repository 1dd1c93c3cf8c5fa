"""OFREP, `POST /v1/flags` and the snapshot of a running read server."""

import gzip
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import (
    FlagNotFoundError,
    InvalidContextError,
    OpenFeatureError,
    TargetingKeyMissingError,
    TypeMismatchError,
)
from openfeature.flag_evaluation import Reason

from tests.support import ofrep_worlds
from tests.support.command_lines import CommandLine
from tests.support.installations import Cluster
from tests.support.ofrep_worlds import BETA, BULK, World
from tests.support.rulesets import contexts


@pytest.fixture(scope="module")
def world(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """Nothing changes it."""
    with ofrep_worlds.running(cluster, tmp_path_factory.mktemp("reader")) as running:
        yield running


def test_a_flag_for_a_context(world: World) -> None:
    context = {"targetingKey": "u1", "country": "DE", "app_version": "2.3.0"}
    found = world.one("checkout_layout", {"context": context})
    assert found == {
        "key": "checkout_layout",
        "value": "compact",
        "reason": "TARGETING_MATCH",
        "variant": "compact",
        "metadata": {
            "revision": found["metadata"]["revision"],
            "environment": "prod",
            "version": found["metadata"]["version"],
            "rule": "beta",
        },
    }


def test_a_flag_whose_time_is_over(world: World) -> None:
    found = world.one("over", {})
    assert (found["value"], found["reason"], found["metadata"]["expired"]) == (
        *(False, "DISABLED"),
        True,
    )
    served = world.reader.get("/v1/snapshot", world.server_key).json()["flags"]
    assert (served["over"]["enabled"], served["over"]["expires_at"]) == (
        *(True,),
        "2026-01-31T00:00:00+00:00",
    )
    assert served["over"]["version"] == found["metadata"]["version"]
    assert "expired" not in world.one("off", {})["metadata"]


@pytest.mark.parametrize("body", [{}, {"context": {}}, {"context": {"x": [{"y": None}]}}])
def test_what_clients_send_without_a_context(world: World, body: Any) -> None:
    assert world.one("checkout_layout", body)["reason"] == "DEFAULT"


def test_a_missing_targeting_key_is_an_error_only_where_it_is_needed(world: World) -> None:
    answer = world.ask(f"{BULK}/new_checkout", {})
    found = answer.json()
    assert answer.status == 400
    assert (found["errorCode"], found["key"]) == ("TARGETING_KEY_MISSING", "new_checkout")
    assert (found["reason"], found["variant"]) == ("ERROR", "off")
    assert found["errorDetails"]
    assert "value" not in found
    assert world.one("new_checkout", {"context": {"targetingKey": "u1"}})["reason"] == "SPLIT"
    assert world.ask("/v1/flags", {}).json()["new_checkout"] is False


@pytest.mark.parametrize("prefix", ["", "/", "//"])
def test_a_base_address_that_ends_with_a_slash(world: World, prefix: str) -> None:
    assert world.ask(f"{prefix}{BULK}/checkout_layout", {}).status == 200


@pytest.mark.parametrize("key", ["", "nope", "a/b", "a%2Fb", "%C3%A9", "x" * 500, "."])
def test_an_unknown_flag(world: World, key: str) -> None:
    answer = world.ask(f"{BULK}/{key}", {})
    found = answer.json()
    assert (answer.status, found["errorCode"]) == (404, "FLAG_NOT_FOUND")
    assert found.keys() == {"key", "errorCode", "errorDetails", "reason", "variant"}


def test_a_bulk_answer_is_the_single_ones(world: World) -> None:
    context = {"context": {"targetingKey": "u1", "country": "FR", "app_version": "9.0.0"}}
    bulk = world.ask(BULK, context).json()
    assert len(bulk["flags"]) == 8
    assert bulk["flags"] == [world.one(flag["key"], context) for flag in bulk["flags"]]
    values = {f["key"]: f["value"] for f in bulk["flags"]}
    assert world.ask("/v1/flags", context).json() == values


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(context=contexts())
def test_random_contexts_give_the_same_in_both_ways(world: World, context: Any) -> None:
    bulk = world.ask(BULK, {"context": context}).json()["flags"]
    assert bulk == [world.one(flag["key"], {"context": context}) for flag in bulk]


def test_numbers_keep_their_kind(world: World) -> None:
    body = world.ask(BULK, {}).body.decode()
    assert f'"value":{2**70},' in body
    assert '"value":10.0,' in body
    assert '"value":{"größe":[1,1.0]}' in body


def test_a_client_key_sees_what_is_client_visible_and_no_rules(world: World) -> None:
    bulk = world.ask(BULK, {"context": {"targetingKey": "x"}}, key=world.client_key).json()
    assert {flag["key"] for flag in bulk["flags"]} == {"new_checkout", "off"}
    assert all("rule" not in flag["metadata"] for flag in bulk["flags"])
    answer = world.ask(f"{BULK}/checkout_layout", {}, key=world.client_key)
    assert answer.status == 404


def test_the_tag_depends_on_the_context_and_the_key(world: World) -> None:
    def tag(context: Any, key: str | None = None) -> str:
        return world.ask(BULK, {"context": context}, key=key).headers["etag"]

    mine = tag({"a": 1, "b": 2})
    assert mine == tag({"b": 2, "a": 1})
    assert len({mine, tag({"a": 1}), tag({"a": "1"}), tag({"a": 1, "b": 2}, world.client_key)}) == 4
    asked = {"if_none_match": f'W/"x", W/{mine}'}
    again = world.ask(BULK, {"context": {"a": 1, "b": 2}}, **asked)
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", mine)
    assert world.ask(BULK, {"context": {"a": 3}}, **asked).status == 200


def test_compressed(world: World) -> None:
    plain = world.ask(BULK, {})
    packed = world.ask(BULK, {}, accept_encoding="gzip")
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["etag"] != plain.headers["etag"]
    again = world.ask(BULK, {}, accept_encoding="gzip", if_none_match=packed.headers["etag"])
    assert again.status == 304


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (b"", "PARSE_ERROR", "no JSON"),
        (b"[]", "PARSE_ERROR", "no JSON object"),
        (b"\xff", "PARSE_ERROR", "UTF-8"),
        (b'{"context": {"a": NaN}}', "PARSE_ERROR", "NaN"),
        (b'{"context": {"a": 1, "a": 2}}', "PARSE_ERROR", "'a' stands twice"),
        (b'{"context": []}', "INVALID_CONTEXT", "no object"),
        (b'{"context": null}', "INVALID_CONTEXT", "no object"),
        (b'{"context": {"a": "\\ud800"}}', "INVALID_CONTEXT", "context.a"),
        (b'{"context": {"\\ud800": 1}}', "INVALID_CONTEXT", "a name in context"),
        (b'{"context": {"a": [1e999]}}', "INVALID_CONTEXT", "context.a[0]"),
        (
            b'{"context": {"a": ' + b"[" * 24 + b"]" * 24 + b"}}",
            "INVALID_CONTEXT",
            "deeper than 24",
        ),
        (b'{"context": {"a": ' + b"[" * 200_000, "INVALID_CONTEXT", "too deeply"),
        (b'{"context": {"a": ' + b"1" * 5_000 + b"}}", "PARSE_ERROR", "digit"),
    ],
)
@pytest.mark.parametrize("path", [BULK, f"{BULK}/checkout_layout", "/v1/flags"])
def test_a_bad_body_names_its_fault(
    world: World, path: str, body: bytes, code: str, said: str
) -> None:
    answer = world.ask(path, body)
    found = answer.json()
    assert answer.status == 400
    if path == "/v1/flags":
        assert answer.headers["content-type"] == "application/problem+json"
        assert said in found["detail"]
    else:
        assert found["errorCode"] == code
        assert said in found["errorDetails"]


def test_other_refusals(world: World) -> None:
    large = world.ask(BULK, b"x" * 1_000_001)
    assert (large.status, large.json()["errorDetails"]) == (
        *(413,),
        "the body has more than 1000000 bytes",
    )
    deep = {"context": {"a": json.loads("[" * 23 + "]" * 23)}}
    assert world.ask(BULK, deep).status == 200
    assert world.ask(BULK, {}, content_type="text/plain").status == 415
    as_curl_sends_it = {"content_type": "application/x-www-form-urlencoded"}
    assert world.ask(BULK, {}, **as_curl_sends_it).status == 200
    assert world.ask(BULK, {}, key="nonsense").status == 401
    assert world.ask(f"{BULK}?environment=dev", {}).status == 403
    answer = world.reader.get(BULK, world.server_key)
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_the_snapshot_is_for_server_keys(world: World) -> None:
    answer = world.reader.get("/v1/snapshot", world.server_key)
    found = answer.json()
    assert (found["format"], found["environment"]) == (1, "prod")
    assert found["flags"]["checkout_layout"]["targeting"]["rules"][0]["id"] == "beta"
    assert found["segments"] == {"beta": BETA}
    assert world.server_key not in answer.body.decode()
    assert "keys" not in found
    again = world.reader.get("/v1/snapshot", world.server_key, if_none_match=answer.headers["etag"])
    assert again.status == 304
    assert world.reader.get("/v1/snapshot", world.client_key).status == 403


def test_the_official_python_client(world: World) -> None:
    provider = world.provider()
    context = EvaluationContext("u1", {"country": "DE", "app_version": "2.3.0"})
    found = provider.resolve_string_details("checkout_layout", "x", context)
    assert (found.value, found.variant, found.reason) == (
        *("compact", "compact"),
        Reason.TARGETING_MATCH,
    )
    assert found.flag_metadata["rule"] == "beta"
    assert provider.resolve_boolean_details("off", True).reason == Reason.DISABLED
    assert provider.resolve_integer_details("integer", 1).value == 2**70
    assert provider.resolve_float_details("number", 1.0).value == 10.0
    assert provider.resolve_object_details("object", {}).value == {"größe": [1, 1.0]}
    with pytest.raises(TargetingKeyMissingError):
        provider.resolve_boolean_details("new_checkout", False)
    with pytest.raises(FlagNotFoundError, match="nope"):
        provider.resolve_boolean_details("nope", False)
    with pytest.raises(FlagNotFoundError, match="no/where"):
        provider.resolve_boolean_details("no/where", False)
    with pytest.raises(TypeMismatchError):
        provider.resolve_boolean_details("integer", False)
    with pytest.raises(InvalidContextError):
        provider.resolve_string_details(
            "checkout_layout", "x", EvaluationContext("u1", {"a": "\ud800"})
        )
    with pytest.raises(OpenFeatureError, match="unauthorized"):
        world.provider("nonsense").resolve_boolean_details("off", False)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(context=contexts())
@example(context={"targetingKey": "\0"})
def test_a_server_and_postgres_give_the_same(
    world: World, context: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    environ = world.installation.environ() | {"FLAGCTL_API_KEY": world.server_key}
    cli = CommandLine(world.installation, environ)
    file = tmp_path / "context.json"
    file.write_text(json.dumps(context))
    where = world.url
    for key in ("checkout_layout", "new_checkout", "off", "over"):
        here = cli.json("eval", key, "--env", "prod", "--context-file", str(file))
        there = cli.json("eval", key, "--via", where, "--context-file", str(file))
        if "error" in there:
            here["value"] = None  # OFREP leaves it to the caller's default
        assert here == there
