import psycopg
import pytest
from psycopg import errors

from core.addresses import parameters
from core.db import translated
from core.errors import (
    ConflictError,
    FlagctlError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)
from core.settings import Secret


def ssl_of(address: str) -> object:
    return parameters(Secret(address)).get("sslmode")


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u@localhost/d",
        "postgresql://u@127.0.0.1/d",
        "postgresql://u@127.9.9.9/d",
        "postgresql://u@[::1]/d",
        "postgresql:///d?host=/run/postgresql",
        "postgresql:///d",
        "postgresql://u@localhost,127.0.0.1/d",
    ],
)
def test_this_machine_needs_no_certificate(address: str) -> None:
    assert ssl_of(address) is None


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://u@db.example.com/d",
        "postgresql://u@10.0.0.1/d",
        "postgresql://u@localhost.example.com/d",
        "postgresql://u@localhost,db.example.com/d",
        "postgresql:///d?hostaddr=10.0.0.1",
        "postgresql://u@localhost/d?hostaddr=10.0.0.1",
        "postgresql://u@0/d",
    ],
)
def test_any_other_host_is_verified(address: str) -> None:
    assert ssl_of(address) == "verify-full"
    assert parameters(Secret(address))["sslrootcert"] == "system"


def test_unless_the_address_says_otherwise() -> None:
    assert ssl_of("postgresql://u@db.example.com/d?sslmode=require") == "require"


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ann:hunter2@h:port/d?x=y",
        "postgresql://ann:x@hunter2@/d",
        "postgresql://ann:hunter2/x@h/d",
        "postgresql://ann:x@y@hunter2@localhost/d",
    ],
)
def test_an_address_that_cannot_be_read_is_not_repeated(address: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        parameters(Secret(address))
    assert "hunter2" not in caught.value.message + caught.value.hint
    assert caught.value.__suppress_context__


STATES = [
    ("FC002", InvalidInputError),
    ("FC003", UnauthenticatedError),
    ("FC004", ForbiddenError),
    ("FC005", NotFoundError),
    ("FC006", ConflictError),
    ("55P03", ConflictError),
    ("40001", ConflictError),
    ("40P01", ConflictError),
    ("23505", ConflictError),
    ("23514", InvalidInputError),
    ("22P02", InvalidInputError),
    ("57014", UnavailableError),
    ("08006", UnavailableError),
    ("28P01", UnavailableError),
    ("3D000", UnavailableError),
    ("53300", UnavailableError),
    ("57P01", UnavailableError),
    ("58030", UnavailableError),
    ("25006", UnavailableError),
    ("42P01", UnavailableError),
    ("42501", UnavailableError),
    ("3F000", UnavailableError),
    ("42601", FlagctlError),
]


@pytest.mark.parametrize(("state", "kind"), STATES)
def test_each_state_becomes_a_kind(state: str, kind: type[FlagctlError]) -> None:
    raised = (errors.lookup(state) if state[:2] != "FC" else psycopg.DatabaseError)("said")
    raised.sqlstate = state
    with pytest.raises(FlagctlError) as caught, translated():
        raise raised
    assert type(caught.value) is kind
    assert caught.value.__cause__ is raised


def test_no_answer_at_all_is_unavailable_in_one_line() -> None:
    with (
        pytest.raises(UnavailableError, match=r"Postgres is unavailable: no such host$"),
        translated(),
    ):
        raise psycopg.OperationalError("no such\n\thost")


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), translated():
        raise KeyError("x")


@pytest.mark.parametrize(
    ("address", "wanted"),
    [
        ("postgresql://a,b/d", "read-write"),
        ("postgresql:///d?host=/one,/two", "read-write"),
        ("postgresql:///d?hostaddr=127.0.0.1,127.0.0.2", "read-write"),
        ("postgresql://a,b/d?target_session_attrs=any", "any"),
        ("postgresql://a/d", None),
        ("postgresql:///d", None),
    ],
)
def test_of_several_hosts_the_primary_is_meant(address: str, wanted: str | None) -> None:
    assert parameters(Secret(address)).get("target_session_attrs") == wanted
