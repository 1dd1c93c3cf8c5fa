"""Every kind of error has an answer, and none says too much."""

import json

import pytest
from starlette.exceptions import HTTPException

from core import errors as kinds
from core.errors import FlagctlError, UnavailableError
from readserver.errors import STATUSES, problem_of


def subclasses(kind: type[FlagctlError]) -> list[type[FlagctlError]]:
    return [kind, *(sub for child in kind.__subclasses__() for sub in subclasses(child))]


@pytest.mark.parametrize(
    "kind", [k for k in subclasses(FlagctlError) if k.__module__ == "core.errors"]
)
def test_every_kind_has_a_status(kind: type[FlagctlError]) -> None:
    assert kind in STATUSES
    status, body, headers = problem_of(kind("what happened", hint="what to do"))
    assert status == STATUSES[kind]
    assert (b"content-type", b"application/problem+json") in headers
    document = json.loads(body)
    assert document["status"] == status
    if status not in (500,):
        assert (document["detail"], document["hint"]) == ("what happened", "what to do")


def test_unauthenticated_says_how() -> None:
    _, _, headers = problem_of(kinds.UnauthenticatedError())
    assert (b"www-authenticate", b'Bearer realm="flagctl"') in headers


@pytest.mark.parametrize("error", [RuntimeError("needle"), FlagctlError("needle")])
def test_what_is_not_ours_says_nothing(error: Exception) -> None:
    status, body, _ = problem_of(error)
    assert status == 500
    assert b"needle" not in body


def test_a_database_error_does_not_name_the_database() -> None:
    error = UnavailableError("connection to needle failed")
    error.__cause__ = RuntimeError()
    status, body, headers = problem_of(error)
    assert (status, b"needle" in body) == (503, False)
    assert (b"retry-after", b"2") in headers


def test_a_pause_of_its_own() -> None:
    _, body, headers = problem_of(HTTPException(503, headers={"Retry-After": "1"}))
    assert [value for name, value in headers if name == b"retry-after"] == [b"1"]
    assert json.loads(body)["code"] == "unavailable"


def test_starlettes_own() -> None:
    status, body, headers = problem_of(HTTPException(405, headers={"Allow": "GET"}))
    assert (status, json.loads(body)["code"]) == (405, "method_not_allowed")
    assert (b"allow", b"GET") in headers
