"""Whose address a request has, with and without proxies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.setting_values import networks
from readserver.client_address import ClientAddresses
from tests.support.memory import kept_by

PROXIES = networks("10.0.0.0/8, 2001:db8:ffff::/48")


def address(peer: str, *forwarded: str, trusted: bool = True) -> str:
    headers = [(b"x-forwarded-for", line.encode("latin-1")) for line in forwarded]
    return ClientAddresses(PROXIES if trusted else ()).of({"client": (peer, 1), "headers": headers})


def test_nobody_is_believed_by_default() -> None:
    assert address("10.0.0.1", "192.0.2.9", trusted=False) == "10.0.0.1"


def test_a_stranger_is_not_believed() -> None:
    assert address("192.0.2.1", "192.0.2.9") == "192.0.2.1"


@pytest.mark.parametrize(
    ("forwarded", "found"),
    [
        (["192.0.2.9"], "192.0.2.9"),
        (["1.1.1.1, 192.0.2.9"], "192.0.2.9"),
        (["1.1.1.1", "192.0.2.9, 10.0.0.2"], "192.0.2.9"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        (["192.0.2.9:4711"], "192.0.2.9"),
        (["[2001:db8::1]:4711"], "20010db800000000::"),
        (["192.0.2.9, unknown"], "10.0.0.1"),
        (["192.0.2.9, "], "10.0.0.1"),
        ([""], "10.0.0.1"),
        ([], "10.0.0.1"),
        (["::ffff:192.0.2.9"], "192.0.2.9"),
        (["192.0.2.9" + ", 10.0.0.2" * 30], "10.0.0.2"),
        (["fe80::1%interface"], "fe80000000000000::"),
        (["fe80::1%" + "x" * 60_000], "10.0.0.1"),
    ],
)
def test_behind_a_proxy(forwarded: list[str], found: str) -> None:
    assert address("10.0.0.1", *forwarded) == found


def test_an_ipv6_network_is_one_client() -> None:
    assert address("2001:db8::1") == address("2001:db8::ffff:2") != address("2001:db8:0:1::1")


def test_a_transport_without_addresses() -> None:
    assert ClientAddresses(PROXIES).of({"client": None, "headers": []}) == ""


@pytest.mark.parametrize("hop", ["%d" + "x" * 60_000, "fe80::%d%%" + "x" * 60_000])
def test_what_is_no_address_is_not_kept(hop: str) -> None:
    def ask() -> None:
        for number in range(50):
            assert address("10.0.0.1", hop % number) == "10.0.0.1"

    assert kept_by(ask) < 1_000_000


@given(st.binary(max_size=80))
def test_no_field_is_an_error(value: bytes) -> None:
    scope = {"client": ("10.0.0.1", 1), "headers": [(b"x-forwarded-for", value)]}
    ClientAddresses(PROXIES).of(scope)
