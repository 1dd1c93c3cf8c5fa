"""What each setting may be, and how one is told that it may not."""

import os

import pytest

from core.errors import InvalidInputError
from core.evaluation.limits import DEFAULT, READABLE
from core.setting_values import NUMBERS, parse_address
from core.settings import Settings
from readserver.contexts import Bounds
from tests.support.homes import Home


@pytest.mark.parametrize("value", ["0", "0.04", "3601", "inf", "-1", "two", "1e999"])
def test_an_interval_out_of_bounds(home: Home, value: str) -> None:
    with pytest.raises(InvalidInputError, match="check_interval"):
        home.load(check_interval=value)


@pytest.mark.parametrize("line", ["check_interval = true", "org = 3", 'org = ""', "token = []"])
def test_a_value_of_the_wrong_type_in_a_file(home: Home, line: str) -> None:
    home.write(home.user_file, line)
    with pytest.raises(InvalidInputError, match=line.split(maxsplit=1)[0]):
        home.load()


def test_a_variable_that_is_no_text(home: Home) -> None:
    with pytest.raises(InvalidInputError, match="FLAGCTL_ORG is not valid UTF-8 text"):
        home.load(org=os.fsdecode(b"\xff"))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("[::1]:80", ("::1", 80)),
        ("localhost:0", ("localhost", 0)),
    ],
)
def test_addresses(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


@pytest.mark.parametrize("text", ["", "8000", ":8000", "a:", "a:b", "a:65536", "a:-1", "a:٣"])
def test_what_is_no_address(text: str) -> None:
    with pytest.raises(ValueError, match="HOST:PORT"):
        parse_address(text)


def test_the_settings_for_browsers(home: Home) -> None:
    settings = home.load(
        cors_origins="https://App.example.com, http://localhost:3000,capacitor://localhost",
        trusted_proxies="10.0.0.0/8, ::1",
        client_rate="0.5",
    )
    assert settings.cors_origins == (
        "https://app.example.com",
        "http://localhost:3000",
        "capacitor://localhost",
    )
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "::1/128"]
    assert settings.client_rate == 0.5
    assert home.load(cors_origins="*").cors_origins == ("*",)
    assert home.load().cors_origins == home.load().trusted_proxies == ()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("cors_origins", "https://a.example/", "'https://a.example/' is not an origin"),
        ("cors_origins", "a.example", "'a.example' is not an origin"),
        ("cors_origins", "https://a.example,", "'' is not an origin"),
        ("cors_origins", "*,https://a.example", "'*' is not an origin"),
        ("cors_origins", "null", "'null' is not an origin"),
        ("cors_origins", "https://ü.example", "is not an origin"),
        ("cors_origins", "https://a.example:443", "which browsers leave out"),
        ("cors_origins", "http://[::1]:80", "which browsers leave out"),
        ("trusted_proxies", "10.0.0.1/8", "'10.0.0.1/8' is neither an address nor a network"),
        ("trusted_proxies", "proxy.example", "is neither an address nor a network"),
        ("client_rate", "0", "it is a number of requests a second between 0.01 and 100000"),
        ("client_burst", "0.5", "it is a number of requests between 1 and 100000"),
        ("header_timeout", "601", "it is a number of seconds between 0.05 and 600"),
        ("header_bytes", "4095", "it is a whole number of bytes between 4096 and 1048576"),
        ("body_timeout", "soon", "it is a number of seconds between 0.05 and 3600"),
        ("condition_depth", "65", "it is a whole number of levels between 1 and 64"),
        ("list_values", "2.5", "it is a whole number of values between 1 and 100000"),
        ("context_bytes", "x", "it is a whole number of bytes between 1024 and 16777216"),
    ],
)
def test_what_they_cannot_be(home: Home, name: str, value: str, words: str) -> None:
    with pytest.raises(InvalidInputError) as caught:
        home.load(**{name: value})
    assert f"{name} in the environment: " in caught.value.message
    assert words in caught.value.message


def test_the_bounds_of_rules_and_contexts(home: Home) -> None:
    home.write(home.user_file, "condition_depth = 40")
    settings = home.load(list_values="7")
    assert (settings.condition_depth, settings.list_values) == (40, 7)
    assert type(settings.list_values) is int
    names = {
        "condition_depth": "depth",
        "condition_parts": "nodes",
        "list_values": "values",
        "flag_rules": "rules",
    }
    usual = Settings()
    for setting, field in names.items():
        assert getattr(usual, setting) == getattr(DEFAULT, field)
        assert NUMBERS[setting].most == getattr(READABLE, field), "readers take what writers may"
    assert Bounds(usual.context_depth, usual.context_bytes) == Bounds()


@pytest.mark.parametrize(
    "name", ["cors_origins", "trusted_proxies", "client_burst", "condition_depth"]
)
def test_their_types_in_a_file(home: Home, name: str) -> None:
    home.write(home.user_file, f"{name} = true")
    with pytest.raises(InvalidInputError, match=name):
        home.load()
