"""What an issuer says about itself, and what of it is believed."""

import pytest

from core.errors import InvalidInputError
from core.services.openid.discovery import Discovery, discover
from core.services.openid.transport import Transport
from tests.support.openid_issuers import DEVICE, DISCOVERY, KEYS, TOKEN, OpenIdIssuer


def fault(issuer: OpenIdIssuer, transport: Transport) -> str:
    with pytest.raises(InvalidInputError) as caught:
        discover(issuer.url, transport)
    return caught.value.message


def test_an_issuer(issuer: OpenIdIssuer, transport: Transport) -> None:
    assert discover(issuer.url, transport) == Discovery(
        issuer.url, issuer.url + KEYS, issuer.url + TOKEN, issuer.url + DEVICE
    )
    assert issuer.asked == [(DISCOVERY, {})]


def test_an_issuer_without_a_login(issuer: OpenIdIssuer, transport: Transport) -> None:
    issuer.says = {"token_endpoint": None, "device_authorization_endpoint": None}
    assert discover(issuer.url, transport) == Discovery(issuer.url, issuer.url + KEYS, None, None)


@pytest.mark.parametrize("path", ["/", "/realms/shop", "/realms/shop/"])
def test_an_issuer_below_a_path(issuer: OpenIdIssuer, transport: Transport, path: str) -> None:
    issuer.says = {"issuer": issuer.url + path}
    where = path.removesuffix("/") + DISCOVERY
    issuer.routes[where] = issuer.answer(DISCOVERY)
    assert discover(issuer.url + path, transport).issuer == issuer.url + path
    assert [asked for asked, _ in issuer.asked] == [where]


@pytest.mark.parametrize("said", ["https://else.example", None, 5, "", "/"])
def test_the_document_is_of_the_issuer_that_was_asked(
    issuer: OpenIdIssuer, transport: Transport, said: object
) -> None:
    issuer.says = {"issuer": issuer.url + "/" if said == "/" else said}
    shown = repr(issuer.says["issuer"]) if isinstance(said, str) else "nothing"
    assert fault(issuer, transport) == (
        f"the discovery document at {issuer.url}{DISCOVERY} is of {shown}, not of {issuer.url!r}"
    )


@pytest.mark.parametrize(
    "name",
    [
        "jwks_uri",
        "token_endpoint",
        "device_authorization_endpoint",
        "authorization_endpoint",
        "userinfo_endpoint",
    ],
)
@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("http://id.example.com/x", "is not https: 'http://id.example.com/x'"),
        ("file:///etc/passwd", "is not https: 'file:///etc/passwd'"),
        ("/x", "is not https: '/x'"),
        (5, "is not a text"),
    ],
)
def test_every_address_in_it_is_https(
    issuer: OpenIdIssuer, transport: Transport, name: str, said: object, why: str
) -> None:
    issuer.says = {name: said}
    assert fault(issuer, transport) == (
        f"{name} of the discovery document at {issuer.url}{DISCOVERY} {why}"
    )


def test_it_says_where_its_keys_are(issuer: OpenIdIssuer, transport: Transport) -> None:
    issuer.says = {"jwks_uri": None}
    assert fault(issuer, transport).endswith(" has no jwks_uri: where its keys are")


def test_nobody_is_asked_without_https(issuer: OpenIdIssuer, transport: Transport) -> None:
    with pytest.raises(InvalidInputError, match="the issuer is not https"):
        discover(issuer.url.replace("https", "http"), transport)
    assert issuer.asked == []
