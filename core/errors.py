"""The few kinds of error flagctl knows. Each edge (CLI, HTTP) translates them in one place."""

from typing import ClassVar


class FlagctlError(Exception):
    """Something went wrong that flagctl did not expect."""

    code: ClassVar[str] = "unexpected"

    def __init__(self, message: str = "", *, hint: str = "") -> None:
        """`message` says what and which; `hint` says what to do next."""
        self.message = message or (type(self).__doc__ or "").strip()
        self.hint = hint
        super().__init__(self.message)


class InvalidInputError(FlagctlError):
    """The input is not valid."""

    code = "invalid_input"


class UnauthenticatedError(FlagctlError):
    """There is no valid token."""

    code = "unauthenticated"


class ForbiddenError(FlagctlError):
    """The actor may not do this."""

    code = "forbidden"


class NotFoundError(FlagctlError):
    """It does not exist."""

    code = "not_found"


class ConflictError(FlagctlError):
    """It exists already, or it changed meanwhile."""

    code = "conflict"


class UnavailableError(FlagctlError):
    """A store cannot be reached."""

    code = "unavailable"


class CheckFailedError(FlagctlError):
    """A check said no."""

    code = "check_failed"


class ConfirmationNeededError(InvalidInputError):
    """This needs a yes."""

    code = "confirmation_needed"


class PassphraseNeededError(InvalidInputError):
    """The signing key is protected by a passphrase."""

    code = "passphrase_needed"
