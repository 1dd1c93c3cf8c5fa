"""Settings that are more than a text: numbers with bounds, origins, networks.

Each parser raises ValueError that says what the value has to be.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any, Final

Network = IPv4Network | IPv6Network
# As browsers send it: no path, no default port, a host in ASCII.
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::[0-9]{1,5})?")
_PUBLIC_URL: Final = re.compile(
    r"https?://(?:[A-Za-z0-9._-]+|\[[0-9a-fA-F:.]+\])(?::[0-9]{1,5})?(?:/[A-Za-z0-9._~/-]*)?"
)
_DEFAULT_PORT: Final = re.compile(r"http://.*:80|https://.*:443")


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a number may be, and of what."""

    least: float
    most: float
    unit: str
    whole: bool = False

    def parse(self, raw: Any) -> float:
        try:
            number = float("nan") if isinstance(raw, bool) else float(raw)
        except (TypeError, ValueError, OverflowError):
            number = float("nan")
        fits = self.least <= number <= self.most
        if not fits or (self.whole and not number.is_integer()):
            kind = "a whole number" if self.whole else "a number"
            raise ValueError(
                f"it is {kind} of {self.unit} between {self.least:.10g} and {self.most:.10g}"
            )
        return int(number) if self.whole else number


def origins(text: str) -> tuple[str, ...]:
    """Origins of web pages, or `*` alone for all of them."""
    found = tuple(item.lower() for item in _items(text))
    if found == ("*",):
        return found
    for origin in found:
        if _ORIGIN.fullmatch(origin) is None:
            raise ValueError(
                f"{origin!r} is not an origin: it is *, or https://app.example.com and others, "
                "separated by commas and without a path"
            )
        if _DEFAULT_PORT.fullmatch(origin):
            raise ValueError(f"{origin!r} has its scheme's own port, which browsers leave out")
    return found


def networks(text: str) -> tuple[Network, ...]:
    """Addresses and networks."""
    found = []
    for item in _items(text):
        try:
            found.append(ip_network(item))
        except ValueError:
            raise ValueError(
                f"{item!r} is neither an address nor a network, as in 10.0.0.7, 10.0.0.0/8"
            ) from None
    return tuple(found)


def check_public_url(text: str) -> None:
    """Where clients reach the read server: an origin, and the path that a proxy adds."""
    if _PUBLIC_URL.fullmatch(text) is None:
        raise ValueError("it is https://flags.example.com, with a path if a proxy adds one")


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")]
