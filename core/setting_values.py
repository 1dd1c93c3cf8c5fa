"""Which settings there are, and what each may be: texts, numbers with bounds, origins, networks.

Each parser raises ValueError that says what the value has to be.
"""

import re
from collections.abc import Callable
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


SECRETS: Final = frozenset(
    {
        "database_url",
        "owner_database_url",
        "reader_database_url",
        "listen_database_url",
        "redis_url",
        "token",
        "api_key",
        "key_passphrase",
    }
)
TEXTS: Final = frozenset(
    {
        "token_file",
        "key_folder",
        "last_good_folder",
        "org",
        "env",
        "output",
        "role_prefix",
        "listen",
        "admin_listen",
        "public_url",
        "log_level",
        "fast_lane",
        "traces",
        "usage",
        "login_issuer",
        "login_client_id",
        "login_audience",
    }
)
NUMBERS: Final = {
    "check_interval": Bounds(0.05, 3_600, "seconds"),
    "client_rate": Bounds(0.01, 100_000, "requests a second"),
    "client_burst": Bounds(1, 100_000, "requests"),
    "header_timeout": Bounds(0.05, 600, "seconds"),
    "header_bytes": Bounds(4_096, 1_048_576, "bytes", whole=True),
    "metrics_environments": Bounds(0, 10_000, "environments"),
    "metrics_evaluations": Bounds(0, 100_000, "series"),
    "body_timeout": Bounds(0.05, 3_600, "seconds"),
    # What may be written; at most what readers take (core/evaluation/limits.py).
    "condition_depth": Bounds(1, 64, "levels", whole=True),
    "condition_parts": Bounds(1, 10_000, "conditions", whole=True),
    "list_values": Bounds(1, 100_000, "values", whole=True),
    "flag_rules": Bounds(1, 10_000, "rules", whole=True),
    # What a reader takes with a question.
    "context_depth": Bounds(1, 64, "levels", whole=True),
    "context_bytes": Bounds(1_024, 16_777_216, "bytes", whole=True),
    "stream_limit": Bounds(0, 1_000_000, "streams", whole=True),
    "stream_key_limit": Bounds(0, 1_000_000, "streams", whole=True),
    "stream_heartbeat": Bounds(0.05, 600, "seconds"),
    "stream_rate": Bounds(1, 1_000_000, "streams a second"),
    "max_connections": Bounds(1, 1_000_000, "connections", whole=True),
    "max_environments": Bounds(1, 1_000_000, "environments", whole=True),
    "usage_interval": Bounds(0.05, 3_600, "seconds"),
    "workers": Bounds(1, 256, "processes", whole=True),
}
LISTS: Final[dict[str, Callable[[str], tuple[Any, ...]]]] = {
    "cors_origins": origins,
    "trusted_proxies": networks,
}
NAMES: Final = SECRETS | TEXTS | NUMBERS.keys() | LISTS.keys()
_OUTPUTS: Final = ("table", "json", "yaml")
_LOG_LEVELS: Final = ("debug", "info", "warning", "error")
_SWITCH: Final = ("on", "off")


def parse(name: str, raw: Any) -> Any:
    """The value of a setting, as it is used; a secret in clear."""
    if name in NUMBERS:
        return NUMBERS[name].parse(raw)
    if not isinstance(raw, str) or not raw:
        raise ValueError("it is a text that is not empty")
    if name in LISTS:
        return LISTS[name](raw)
    if name == "output" and raw not in _OUTPUTS:
        raise ValueError(f"it is one of {', '.join(_OUTPUTS)}")
    if name == "log_level" and raw not in _LOG_LEVELS:
        raise ValueError(f"it is one of {', '.join(_LOG_LEVELS)}")
    if name in ("fast_lane", "traces", "usage") and raw not in _SWITCH:
        raise ValueError(f"it is one of {', '.join(_SWITCH)}")
    if name in ("listen", "admin_listen"):
        parse_address(raw)
    if name == "public_url":
        check_public_url(raw)
        return raw.rstrip("/")
    if name.endswith("database_url") and not raw.startswith(("postgresql://", "postgres://")):
        raise ValueError("it starts with postgresql://")
    if name == "redis_url" and not raw.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("it starts with redis://, rediss:// or unix://")
    if name == "role_prefix" and not (raw.isascii() and raw.isidentifier() and len(raw) <= 40):
        raise ValueError("it is a word of letters, digits and _, at most 40 characters")
    return raw


def parse_address(text: str) -> tuple[str, int]:
    """HOST:PORT as its two parts; an IPv6 host stands in brackets. Raises ValueError."""
    host, _, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65_535:
        raise ValueError("it is HOST:PORT, as in 127.0.0.1:8000")
    return host, int(port)
