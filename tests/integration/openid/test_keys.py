"""The keys of a real issuer; the choice among them is proved in the unit tests."""

import pytest

from core.errors import InvalidInputError, UnavailableError
from core.services.openid.key_sets import KeySet, KeySetClient, SigningKey, fetch_keys
from core.services.openid.transport import Transport
from tests.support.openid_issuers import (
    DISCOVERY,
    KEYS,
    Behaviour,
    OpenIdIssuer,
    content,
    document,
    drip,
    elliptic_jwk,
    redirect,
    rsa_key,
)


def test_the_keys_of_an_issuer(issuer: OpenIdIssuer, transport: Transport) -> None:
    issuer.keys.append(elliptic_jwk("curve"))
    assert fetch_keys(issuer.url, transport) == KeySet(
        (SigningKey("first", rsa_key().modulus),), ("key 'curve' is not an RSA key: 'EC'",)
    )
    assert [path for path, _ in issuer.asked] == [DISCOVERY, KEYS]


def test_an_address_of_keys_replaces_discovery(issuer: OpenIdIssuer, transport: Transport) -> None:
    issuer.routes["/elsewhere"] = document({"keys": [rsa_key("other").jwk()]})
    (key,) = fetch_keys(issuer.url, transport, jwks_url=issuer.url + "/elsewhere").keys
    assert key.key_id == "other"
    assert [path for path, _ in issuer.asked] == ["/elsewhere"]
    with pytest.raises(InvalidInputError, match="the key set is not https"):
        fetch_keys(issuer.url, transport, jwks_url="http://id.example.com/keys")


def test_a_set_without_any_key_to_trust(issuer: OpenIdIssuer, transport: Transport) -> None:
    issuer.keys = [
        rsa_key("small", 1_024).jwk(),
        rsa_key("three", exponent=3).jwk(),
        elliptic_jwk("curve"),
    ]
    with pytest.raises(InvalidInputError) as caught:
        fetch_keys(issuer.url, transport)
    assert caught.value.message.splitlines() == [
        f"the key set at {issuer.url}{KEYS} has no key to trust",
        "  key 'small' has 1024 bits, not 2048 to 4096",
        "  key 'three' has the exponent 3, not 65537",
        "  key 'curve' is not an RSA key: 'EC'",
    ]


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (redirect("https://127.0.0.1:1/"), InvalidInputError),
        (content(b" " * 10_000_000), InvalidInputError),
        (document({}, 404), InvalidInputError),
        (document({}, 503), UnavailableError),
    ],
    ids=["redirect", "10 MB", "404", "503"],
)
def test_both_requests_are_bounded(
    issuer: OpenIdIssuer,
    transport: Transport,
    path: str,
    behaviour: Behaviour,
    kind: type[Exception],
) -> None:
    issuer.routes[path] = behaviour
    with pytest.raises(kind, match="discovery document" if path == DISCOVERY else "the key set"):
        fetch_keys(issuer.url, transport)


@pytest.mark.parametrize("path", [DISCOVERY, KEYS])
def test_both_requests_have_an_end(issuer: OpenIdIssuer, path: str) -> None:
    issuer.routes[path] = drip(b"HTTP/1.1 200 OK\r\n\r\n")
    with pytest.raises(UnavailableError):
        fetch_keys(issuer.url, Transport(seconds=0.5))


def test_the_client_of_the_library_asks_our_way(issuer: OpenIdIssuer) -> None:
    """Whatever else of it is used, what it reads is bounded."""
    client = KeySetClient(issuer.url + KEYS, Transport(seconds=5.0))
    assert client.get_signing_key("first").key_id == "first"
    assert client.timeout == 5.0
    issuer.routes[KEYS] = content(b" " * 100_000)
    with pytest.raises(InvalidInputError, match="larger than"):
        client.get_signing_keys()
