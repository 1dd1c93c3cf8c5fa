"""Every kind of error has an exit code, and the codes are what scripts were promised."""

from collections.abc import Iterator

import pytest

import core.errors
from core.errors import (
    CheckFailedError,
    ConfirmationNeededError,
    ConflictError,
    FlagctlError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    PassphraseNeededError,
    UnauthenticatedError,
    UnavailableError,
)
from flagctl.errors import EXIT_CODES, ExitCode, exit_code


def kinds(of: type[FlagctlError] = FlagctlError) -> Iterator[type[FlagctlError]]:
    yield of
    for kind in of.__subclasses__():
        yield from kinds(kind)


@pytest.mark.parametrize("kind", list(kinds()))
def test_every_kind_has_a_code(kind: type[FlagctlError]) -> None:
    error = kind()
    assert (exit_code(error) is ExitCode.UNEXPECTED) == (kind is FlagctlError)
    assert error.code
    assert error.message == (kind.__doc__ or "").strip()


def test_kinds_have_codes_of_their_own() -> None:
    own = [kind.code for kind in kinds() if kind.__module__ == core.errors.__name__]
    assert len(own) == len(set(own))


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (FlagctlError, 1),
        (InvalidInputError, 2),
        (ConfirmationNeededError, 2),
        (PassphraseNeededError, 2),
        (UnauthenticatedError, 3),
        (ForbiddenError, 4),
        (NotFoundError, 5),
        (ConflictError, 6),
        (UnavailableError, 7),
        (CheckFailedError, 8),
    ],
)
def test_the_promised_codes(kind: type[FlagctlError], code: int) -> None:
    assert exit_code(kind("x")) == code


def test_a_kind_takes_the_code_of_the_kind_above() -> None:
    class OddError(NotFoundError):
        """Odd."""

    assert exit_code(OddError()) == 5
    assert len(set(EXIT_CODES.values())) == len(EXIT_CODES)
