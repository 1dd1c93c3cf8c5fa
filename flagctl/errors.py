"""Exit codes, and the one place where an error becomes one."""

from enum import IntEnum

from core.errors import (
    CheckFailedError,
    ConflictError,
    FlagctlError,
    ForbiddenError,
    InvalidInputError,
    NotFoundError,
    UnauthenticatedError,
    UnavailableError,
)


class ExitCode(IntEnum):
    """A promise to scripts."""

    OK = 0
    UNEXPECTED = 1
    INVALID_INPUT = 2
    UNAUTHENTICATED = 3
    FORBIDDEN = 4
    NOT_FOUND = 5
    CONFLICT = 6
    UNAVAILABLE = 7
    CHECK_FAILED = 8


EXIT_CODES: dict[type[FlagctlError], ExitCode] = {
    InvalidInputError: ExitCode.INVALID_INPUT,
    UnauthenticatedError: ExitCode.UNAUTHENTICATED,
    ForbiddenError: ExitCode.FORBIDDEN,
    NotFoundError: ExitCode.NOT_FOUND,
    ConflictError: ExitCode.CONFLICT,
    UnavailableError: ExitCode.UNAVAILABLE,
    CheckFailedError: ExitCode.CHECK_FAILED,
    FlagctlError: ExitCode.UNEXPECTED,
}


def exit_code(error: FlagctlError) -> ExitCode:
    """The exit code of an error's kind, or of the nearest kind above it."""
    return next(EXIT_CODES[kind] for kind in type(error).__mro__ if kind in EXIT_CODES)
