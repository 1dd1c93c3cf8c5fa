"""From which address a request comes, as far as it can be believed."""

from functools import lru_cache
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

from starlette.types import Scope

from core.setting_values import Network

_MOST_HOPS: Final = 20  # of X-Forwarded-For, from its end
_LONGEST: Final = 64  # characters of an address, with the name of an interface
Address = IPv4Address | IPv6Address


class ClientAddresses:
    """The peer's own address; behind trusted proxies, what the first of them saw."""

    def __init__(self, trusted: tuple[Network, ...]) -> None:
        self._trusted = trusted

    def of(self, scope: Scope) -> str:
        """A name for the client: equal for all addresses of an IPv6 network of 64 bits, which
        everybody has for himself. Empty when the transport does not say."""
        host = scope["client"][0] if scope["client"] else ""
        if self._trusted and self._is_trusted(_address(host)):
            host = self._forwarded(host, scope)
        return _name(host)

    def _forwarded(self, host: str, scope: Scope) -> str:
        """The last hop that no trusted proxy is. What stands before it anybody can make up."""
        lines = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
        if not lines:
            return host
        hops = b",".join(lines).decode("latin-1").rsplit(",", _MOST_HOPS)[-_MOST_HOPS:]
        for hop in reversed(hops):
            address = _address(_without_port(hop.strip()))
            if address is None:
                break
            host = str(address)
            if not self._is_trusted(address):
                break
        return host

    def _is_trusted(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._trusted)


def _without_port(hop: str) -> str:
    """Some proxies add the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _address(text: str) -> Address | None:
    # Whoever can send a field can make it long: what is remembered has to be short.
    return _parsed(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=4_096)
def _parsed(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


@lru_cache(maxsize=4_096)
def _name(host: str) -> str:
    address = _address(host)
    if isinstance(address, IPv6Address):
        return f"{int(address) >> 64:x}::"
    return str(address) if address is not None else host
