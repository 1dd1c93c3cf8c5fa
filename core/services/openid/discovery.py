"""The discovery document of an issuer: where its keys are, and where one logs in."""

from dataclasses import dataclass
from typing import Any, Final

from core.errors import InvalidInputError
from core.services.openid.transport import Transport
from core.services.openid.urls import check_https, check_issuer

_WHAT: Final = "the discovery document"


@dataclass(frozen=True, slots=True)
class Discovery:
    """What flagctl needs of it. The endpoints are None where the issuer does not offer them."""

    issuer: str
    jwks_uri: str
    token_endpoint: str | None
    device_authorization_endpoint: str | None


def discover(issuer: str, transport: Transport) -> Discovery:
    """Ask the issuer about itself. Raises UnavailableError, InvalidInputError."""
    check_issuer(issuer)
    url = issuer.removesuffix("/") + "/.well-known/openid-configuration"
    document = transport.get(url, what=_WHAT).document()
    _check_name(document, issuer, url)
    for name, value in document.items():
        if name == "jwks_uri" or name.endswith("_endpoint"):
            _check_address(name, value, url)
    if "jwks_uri" not in document:
        raise InvalidInputError(f"{_WHAT} at {url} has no jwks_uri: where its keys are")
    return Discovery(
        issuer,
        document["jwks_uri"],
        document.get("token_endpoint"),
        document.get("device_authorization_endpoint"),
    )


def _check_name(document: dict[str, Any], issuer: str, url: str) -> None:
    """Tokens carry the name that stands in it: another one would be somebody else."""
    said = document.get("issuer")
    if said != issuer:
        shown = f"{said!r}"[:200] if isinstance(said, str) else "nothing"
        raise InvalidInputError(
            f"{_WHAT} at {url} is of {shown}, not of {issuer!r}",
            hint="name the issuer exactly as it names itself, with or without the last slash",
        )


def _check_address(name: str, value: Any, url: str) -> None:
    if not isinstance(value, str):
        raise InvalidInputError(f"{name} of {_WHAT} at {url} is not a text")
    check_https(value, what=f"{name} of {_WHAT} at {url}")
