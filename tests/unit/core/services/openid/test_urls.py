import pytest

from core.errors import InvalidInputError
from core.services.openid.urls import check_https, check_issuer


@pytest.mark.parametrize(
    "url",
    [
        "https://id.example.com",
        "https://id.example.com/",
        "https://id.example.com:8443/realms/shop",
        "https://127.0.0.1:1/",
        "https://[::1]:8443/",
    ],
)
def test_issuers(url: str) -> None:
    assert check_issuer(url) == url


def test_an_address_may_have_a_query_an_issuer_may_not() -> None:
    assert check_https("https://a.example/keys?p=1", what="x").query == "p=1"
    for url in ("https://a.example?p=1", "https://a.example/?"):
        with pytest.raises(InvalidInputError, match="has a query"):
            check_issuer(url)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("http://id.example.com", "the issuer is not https: 'http://id.example.com'"),
        ("HTTPS://id.example.com", "the issuer is not https: 'HTTPS://id.example.com'"),
        ("id.example.com", "the issuer is not https: 'id.example.com'"),
        ("file:///etc/passwd", "the issuer is not https: 'file:///etc/passwd'"),
        ("", "the issuer is not https: ''"),
        ("https://", "the issuer is no address: 'https://'"),
        ("https:///path", "the issuer is no address: 'https:///path'"),
        ("https://:1", "the issuer is no address: 'https://:1'"),
        ("https://a.example:0", "the issuer is no address: 'https://a.example:0'"),
        ("https://a b", "the issuer is no address: 'https://a b'"),
        ("https://a\\b", "the issuer is no address: 'https://a\\\\b'"),
        ("https://a\n", "the issuer is no address: 'https://a\\n'"),
        ("https://ä.example", "the issuer is no address: 'https://ä.example'"),
        ("https://a.example/#x", "the issuer has a fragment: 'https://a.example/#x'"),
        ("https://a.example#", "the issuer has a fragment: 'https://a.example#'"),
    ],
)
def test_what_is_no_issuer(url: str, message: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_issuer(url)
    assert caught.value.message == message


@pytest.mark.parametrize("url", ["https://a.example:x", "https://a.example:99999", "https://[a"])
def test_addresses_that_python_cannot_read(url: str) -> None:
    with pytest.raises(InvalidInputError, match="the issuer is no address: "):
        check_issuer(url)


@pytest.mark.parametrize(
    "url", ["https://ann:hunter2@a.example", "http://ann:hunter2@a.example", "ann:hunter2@a"]
)
def test_a_password_in_it_is_not_repeated(url: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_issuer(url)
    assert caught.value.message == "the issuer has an @ in its address"
    assert "hunter2" not in caught.value.message + caught.value.hint


def test_a_long_one_is_shown_in_part() -> None:
    with pytest.raises(InvalidInputError) as caught:
        check_issuer("https://a.example/" + "x" * 10_000)
    assert len(caught.value.message) < 300
